"""The table of kustomize's components, and what docs/install.md says about them."""

import itertools
import re

import pytest
import yaml

from tests.support.server import ROOT
from webhook.manifests import cert_manager, monitoring, optional_objects
from webhook.manifests.alerts import ALERTS
from webhook.manifests.installation import CONTAINER, deployment, labels, service
from webhook.manifests.kustomize_components import COMPONENTS, MATCH_CONDITIONS
from webhook.manifests.roles import InstallationNames, default_policies, roles
from webhook.manifests.webhooks import Service, configurations, denying, staged
from webhook.policy.enforcement import LABEL, MODE_LABEL, OLD_LABEL

NAMES = InstallationNames()
INSTALL = (ROOT / "docs" / "install.md").read_text()


def _objects():
    for component in COMPONENTS.values():
        for made in component.resources.values():
            yield from made()


def test_the_page_lists_each_component_with_its_versions_and_needs():
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| ([^|]*)\|", INSTALL, re.MULTILINE)
    listed = [(name, version.strip(), needs.strip()) for name, version, needs in rows]
    assert listed == [(name, _versions(each), each.needs) for name, each in COMPONENTS.items()]


def _versions(component):
    if component.since:
        return f"{component.since} and newer"
    return f"up to {component.until}" if component.until else "all"


@pytest.mark.parametrize("thing", list(_objects()), ids=lambda thing: f"{thing['kind']}-{thing['metadata']['name']}")
def test_an_object_that_a_component_adds_has_the_name_of_the_installation(thing):
    """So two installations with names of their own never collide."""
    assert re.fullmatch(r"vmguard(-[a-z-]+)?", thing["metadata"]["name"])
    assert thing["metadata"].get("namespace", NAMES.namespace) == NAMES.namespace


def test_components_change_different_fields():
    """So they can be combined in any order."""

    def paths(value, place):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from paths(inner, (*place, key))
        elif isinstance(value, list) and all(isinstance(each, dict) and "name" in each for each in value):
            for each in value:
                yield from paths({key: inner for key, inner in each.items() if key != "name"}, (*place, each["name"]))
        else:
            yield place

    changed = {}
    for name, component in COMPONENTS.items():
        changed[name] = set()
        for patch in component.patches.values():
            for made in patch.objects():
                fields = {key: value for key, value in made.items() if key not in {"apiVersion", "kind", "metadata"}}
                fields |= {"annotations": made["metadata"].get("annotations", {})}
                changed[name] |= set(paths(fields, (made["kind"],)))
    for one, other in itertools.combinations(changed, 2):
        assert not changed[one] & changed[other], f"{one} and {other}"


VALUES = (None, "off", "warn", "deny", "Deny", "")


def _selected(entries, given):
    """The entries whose selectors match a namespace with these labels."""
    matches = {
        "Exists": lambda key, _: key in given,
        "DoesNotExist": lambda key, _: key not in given,
        "In": lambda key, values: given.get(key) in values,
        "NotIn": lambda key, values: given.get(key) not in values,
    }
    return [
        name
        for name, entry in entries.items()
        if all(
            matches[each["operator"]](each["key"], each.get("values"))
            for each in entry["namespaceSelector"]["matchExpressions"]
        )
    ]


@pytest.mark.parametrize("mode", [None, "enforce", "audit"])
@pytest.mark.parametrize(("new", "old"), list(itertools.product(VALUES, VALUES)))
def test_with_enforce_deny_each_pod_goes_to_one_enforced_entry_of_each_configuration(mode, new, old):
    """Whatever the labels of its namespace are."""
    given = {MODE_LABEL: mode, LABEL: new, OLD_LABEL: old}
    given = {key: value for key, value in given.items() if value is not None}
    for entries in denying(Service()):
        (name,) = _selected(entries, given)
        path = entries[name]["clientConfig"]["service"]["path"]
        assert path.endswith("/enforced")
        assert ("/mode-enforce/" in path) is (mode == "enforce")


def test_with_enforce_deny_an_exempt_namespace_and_kube_system_are_still_left_out():
    for entries in denying(Service()):
        assert not _selected(entries, {"vmguard.io/exempt": "true"})
        assert not _selected(entries, {"kubernetes.io/metadata.name": "kube-system"})


def test_enforce_deny_changes_entries_that_are_there_and_leaves_none_for_pods_as_it_was():
    """An apply merges entries by their names, and a new one would have no CA bundle."""
    for changed, configuration in zip(denying(Service()), staged(Service(), trial=True), strict=True):
        of_pods = [each["name"] for each in configuration["webhooks"] if each["rules"][0]["resources"] == ["pods"]]
        assert sorted(changed) == sorted(of_pods)


def test_enforce_deny_calls_the_paths_of_vmguard_manifests_webhooks():
    for changed, configuration in zip(denying(Service()), configurations(Service(), enforce_deny=True), strict=True):
        wanted = {
            each["clientConfig"]["service"]["path"]
            for each in configuration["webhooks"]
            if each["rules"][0]["resources"] == ["pods"]
        }
        made = {each["clientConfig"]["service"]["path"] for each in changed.values()}
        assert {path.replace("/mode-enforce", "") for path in made} == wanted


def test_only_entries_that_ignore_failures_have_match_conditions():
    """Where an expression fails the API server does not call such an entry; no denial of a pod depends on one."""
    ignored = {
        each["name"] for each in staged(Service(), trial=False)[1]["webhooks"] if each["failurePolicy"] == "Ignore"
    }
    for patch in COMPONENTS["match-conditions"].patches.values():
        for configuration in patch.objects():
            names = [each["name"] for each in configuration["webhooks"]]
            assert names == ["resources.vmguard.io", "resources-in-force.vmguard.io"]
            assert ignored.issuperset(names)
            assert all(each["matchConditions"] == list(MATCH_CONDITIONS) for each in configuration["webhooks"])


def test_the_network_policy_names_the_ports_of_the_container_and_selects_the_pods():
    policy = optional_objects.network_policy(NAMES)
    template = deployment(NAMES)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    ports = {each["name"] for each in container["ports"]}
    anybody, monitors = policy["spec"]["ingress"]
    assert {each["port"] for rule in (anybody, monitors) for each in rule["ports"]} == ports
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert (anybody, policy["spec"]["policyTypes"]) == (
        {"ports": [{"protocol": "TCP", "port": "webhook"}]},
        ["Ingress"],
    )
    assert monitors["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


@pytest.mark.parametrize("made", [monitoring.vm_scrape, monitoring.service_monitor])
def test_a_scrape_finds_the_service_and_its_port(made):
    spec = made(NAMES)["spec"]
    assert spec["selector"]["matchLabels"].items() <= service(NAMES)["metadata"]["labels"].items()
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in {each["name"] for each in service(NAMES)["spec"]["ports"]}


def test_both_operators_get_the_same_scrape_and_the_same_rules():
    assert monitoring.vm_scrape(NAMES)["spec"] == monitoring.service_monitor(NAMES)["spec"]
    assert monitoring.vm_rules(NAMES)["spec"] == monitoring.prometheus_rules(NAMES)["spec"]
    (group,) = monitoring.vm_rules(NAMES)["spec"]["groups"]
    assert [each["alert"] for each in group["rules"]] == [each.name for each in ALERTS]


def test_the_permissions_for_default_policies_are_those_that_the_design_explains():
    section = (ROOT / "docs" / "design.md").read_text().split("### Why this is no privilege escalation")[1]
    printed = yaml.safe_load(section.split("```yaml")[1].split("```")[0])
    assert [each.rule for each in default_policies()] == printed


def test_with_cert_manager_vmguard_may_write_no_configuration():
    role, usual = cert_manager.only_reading(NAMES), roles(NAMES)[0]
    changed = [pair for pair in zip(usual["rules"], role["rules"], strict=True) if pair[0] != pair[1]]
    ((before, after),) = changed
    assert before["apiGroups"] == ["admissionregistration.k8s.io"]
    assert after == {**before, "verbs": ["get"]}


def test_the_certificate_of_cert_manager_is_mounted_where_vmguard_reads_it():
    pod = cert_manager.mounted(NAMES)["spec"]["template"]["spec"]
    ((container,), (volume,)) = pod["containers"], pod["volumes"]
    (mount,) = container["volumeMounts"]
    assert container["name"] == CONTAINER
    assert container["env"] == [{"name": "VMGUARD_CERT_DIR", "value": mount["mountPath"]}]
    assert mount["name"] == volume["name"]
    serving = next(each for each in cert_manager.issuers(NAMES) if each["metadata"]["name"] == "vmguard-serving")
    assert volume["secret"]["secretName"] == serving["spec"]["secretName"]
    assert serving["spec"]["dnsNames"] == ["vmguard.vmguard-system.svc"]
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        annotations = cert_manager.injected(NAMES, kind)["metadata"]["annotations"]
        assert annotations == {"cert-manager.io/inject-ca-from": "vmguard-system/vmguard-serving"}


def test_every_object_that_is_no_role_has_the_labels_of_the_installation():
    for thing in _objects():
        if "Role" not in thing["kind"] and "ValidatingAdmission" not in thing["kind"]:
            assert labels(NAMES).items() <= thing["metadata"]["labels"].items()
