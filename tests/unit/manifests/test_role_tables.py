"""The roles follow from the tables: no wildcard, nothing without a reason, nothing that is read without a rule."""

import pytest
import yaml

from tests.support.server import ROOT
from webhook.cluster.collections import BUILT_IN, DEFINITIONS, EVENTS, JUDGED, LEASES, PODS, SECRETS, custom
from webhook.cluster.webhook_entries import CONFIGURATIONS
from webhook.manifests.roles import InstallationNames, editor, permissions, roles, viewer
from webhook.policy.custom_resources import BY_KIND, RESOURCES

NAMES = InstallationNames("monitoring", "guard", "front", "guard-mon", "guard-lease")
ALL = [*roles(NAMES), *roles(NAMES, ("a", "b")), *map(viewer, RESOURCES), *map(editor, RESOURCES)]


def _rules(objects):
    return [rule for each in objects for rule in each.get("rules", ())]


def test_no_rule_has_a_wildcard():
    for rule in _rules(ALL):
        for values in rule.values():
            assert values
            assert not any("*" in value for value in values)


def test_every_permission_has_a_reason_and_is_in_the_roles():
    needed = permissions(NAMES)
    assert all(each.reason for each in needed)
    assert [each.rule for each in needed] == _rules(roles(NAMES))


def test_everything_that_is_read_has_a_rule():
    """By the table of what vmguard looks up and watches."""
    read = {*BUILT_IN.values(), *(custom(kind, BY_KIND[kind].storage) for kind in JUDGED)}
    other = {DEFINITIONS, EVENTS, PODS, LEASES, SECRETS, *CONFIGURATIONS}
    allowed = {}
    for each in permissions(NAMES):
        for plural in each.resources:
            allowed.setdefault((each.group, plural), set()).update(each.verbs)
    assert allowed.keys() == {(each.group, each.plural) for each in read | other}
    for each in read:
        assert allowed[each.group, each.plural] == {"get", "list", "watch"}


def test_secrets_and_configurations_are_limited_to_the_installations_own():
    by_resource = {resource: each for each in permissions(NAMES) for resource in each.resources}
    assert by_resource["secrets"].names == ("front-ca",)
    assert by_resource["mutatingwebhookconfigurations"].names == ("guard-mon",)
    leases = [each for each in permissions(NAMES) if each.resources == ("leases",)]
    assert {each.verbs: each.names for each in leases} == {("create",): (), ("get", "update"): ("guard-lease",)}


def test_with_watched_namespaces_there_is_no_cluster_role_and_no_write_but_of_the_lease_and_of_events():
    made = roles(NAMES, ("a", "b"))
    assert {each["kind"] for each in made} == {"Role", "RoleBinding"}
    assert {each["metadata"]["namespace"] for each in made} == {"a", "b", "monitoring"}
    for rule in _rules(made):
        assert rule["resources"] in (["leases"], ["events"]) or set(rule["verbs"]) <= {"get", "list", "watch"}


@pytest.mark.parametrize("watched", [(), ("shared",)])
@pytest.mark.parametrize("namespace", ["monitoring", "elsewhere"])
def test_two_installations_share_no_role(watched, namespace):
    """They have the names that docs/certificates.md asks for: another configuration, and more in one namespace."""
    more = {"service": "other", "lease": "other"} if namespace == "monitoring" else {}
    other = InstallationNames(**{"namespace": namespace, "configuration": "other", **more})
    first = InstallationNames(namespace="monitoring")

    def ids(names):
        made = roles(names, watched)
        return {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in made}

    assert ids(first).isdisjoint(ids(other))


def test_every_binding_gives_its_role_to_the_account():
    made = [*roles(NAMES), *roles(NAMES, ("a",))]
    for role, binding in zip(made[::2], made[1::2], strict=True):
        assert binding["kind"] == f"{role['kind']}Binding"
        assert binding["roleRef"]["name"] == role["metadata"]["name"] == binding["metadata"]["name"]
        assert role["metadata"].get("namespace") == binding["metadata"].get("namespace")
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "guard", "namespace": "monitoring"}]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.kind)
def test_each_resource_has_a_viewer_and_an_editor_role(resource):
    for what, made in (("viewer", viewer), ("editor", editor)):
        text = (ROOT / "deploy" / "rbac" / f"{resource.singular}_{what}_role.yaml").read_text()
        assert yaml.safe_load(text) == made(resource)
        assert made(resource)["metadata"] == {"name": f"victoriametrics-{resource.singular}-{what}"}
