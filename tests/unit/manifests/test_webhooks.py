"""The generated webhook configurations."""

import base64
import itertools

import pytest

from webhook.manifests.webhooks import Service, Url, configurations, staged
from webhook.policy.enforcement import LABEL, MODE_LABEL, OLD_LABEL, enforced_in
from webhook.server.admission_handler import WEBHOOKS

VALUES = (None, "off", "warn", "deny", "Deny", "")


def _webhooks(target, ca=b"", **more):
    return [webhook for each in configurations(target, ca, **more) for webhook in each["webhooks"]]


@pytest.mark.parametrize("enforce_deny", [False, True])
def test_the_server_serves_the_path_of_each_webhook(enforce_deny):
    for webhook in _webhooks(Service(), enforce_deny=enforce_deny):
        assert webhook["clientConfig"]["service"]["path"] in WEBHOOKS


@pytest.mark.parametrize("enforce_deny", [False, True])
@pytest.mark.parametrize("target", [Service(), Url("https://localhost:1")])
def test_no_entry_selects_an_exempt_namespace(target, enforce_deny):
    """The label takes a namespace out of every entry, those for resources and for ephemeral containers included."""
    for webhook in _webhooks(target, enforce_deny=enforce_deny):
        expressions = webhook["namespaceSelector"]["matchExpressions"]
        assert {"key": "vmguard.io/exempt", "operator": "NotIn", "values": ["true"]} in expressions


@pytest.mark.parametrize("enforce_deny", [False, True])
def test_every_webhook_has_a_name_of_its_own(enforce_deny):
    """Of both configurations together, as audit annotations are stored under the name alone."""
    names = [webhook["name"] for webhook in _webhooks(Service(), enforce_deny=enforce_deny)]
    assert len(names) == len(set(names))


def _selects(webhook, labels):
    """Whether the namespaceSelector matches a namespace with these labels, as Kubernetes defines the operators."""
    matches = {
        "Exists": lambda key, _: key in labels,
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
    }
    expressions = webhook["namespaceSelector"]["matchExpressions"]
    return all(matches[each["operator"]](each["key"], each.get("values")) for each in expressions)


def _for_pods(configuration, labels):
    pods = [each for each in configuration["webhooks"] if each["rules"][0]["resources"] == ["pods"]]
    return [each for each in pods if _selects(each, labels)]


@pytest.mark.parametrize(("new", "old"), list(itertools.product(VALUES, VALUES)))
def test_the_selectors_count_the_labels_as_the_decision_does(new, old):
    """The entries send pods to the enforced paths, with Fail, exactly if the labels amount to deny."""
    labels = {label: value for label, value in ((LABEL, new), (OLD_LABEL, old)) if value is not None}
    mutating, validating = (_for_pods(each, labels) for each in configurations(Service()))
    denies = enforced_in("off", labels) == "deny"
    general = [each for each in mutating if each["clientConfig"]["service"]["path"] == "/mutate"]
    enforced = [each for each in mutating if each not in general]
    assert bool(enforced) is bool(validating) is denies
    assert bool(general) is ("deny" not in labels.values())
    for each in (*mutating, *validating):
        assert each["failurePolicy"] == "Fail"
        assert each["clientConfig"]["service"]["path"] in {"/mutate", "/mutate/enforced", "/validate/enforced"}
    if {new, old} <= {None, "off", "warn", "deny"}:
        assert len(mutating) == 1, "no pod pays for two calls without a typing error"


MODES = (None, "enforce", "audit", "enforced", "")


@pytest.mark.parametrize("trial", [False, True])
@pytest.mark.parametrize(("mode", "new", "old"), list(itertools.product(MODES, VALUES, VALUES)))
def test_the_label_of_the_mode_puts_a_namespace_in_force_and_nothing_else_does(trial, mode, new, old):
    """There the entries are those of an installation that enforces; elsewhere a trial can block nothing."""
    labels = {MODE_LABEL: mode, LABEL: new, OLD_LABEL: old}
    labels = {label: value for label, value in labels.items() if value is not None}
    usual = [_for_pods(each, labels) for each in configurations(Service())]
    chosen = [_for_pods(each, labels) for each in staged(Service(), trial=trial)]
    for before, after in zip(usual, chosen, strict=True):
        assert len(before) == len(after)
        for entry, other in zip(before, after, strict=True):
            path, given = (each["clientConfig"]["service"]["path"] for each in (entry, other))
            if mode == "enforce":
                _, webhook, *level = path.split("/")
                assert given.split("/") == ["", webhook, "mode-enforce", *level]
                assert (other["failurePolicy"], other["timeoutSeconds"]) == ("Fail", 10)
            else:
                assert given == path
                assert (other["failurePolicy"], other["timeoutSeconds"]) == (("Ignore", 5) if trial else ("Fail", 10))


def test_an_apply_of_the_other_form_keeps_each_entry():
    """Entries are merged by their names, and a new one would have no CA bundle for some seconds."""
    for tried, strict in zip(staged(Service(), trial=True), staged(Service(), trial=False), strict=True):
        names = [each["name"] for each in tried["webhooks"]]
        assert names == [each["name"] for each in strict["webhooks"]]
        assert len(set(names)) == len(names)
        assert {each["name"] for configured in configurations(Service()) for each in configured["webhooks"]} & {*names}


def test_each_resource_is_judged_by_one_entry_in_each_mode():
    _, validating = staged(Service(), trial=True)
    for labels, path in (({}, "/validate"), ({MODE_LABEL: "enforce"}, "/validate/mode-enforce")):
        selected = [each for each in validating["webhooks"] if _selects(each, labels)]
        others = [each for each in selected if each["rules"][0]["resources"] != ["pods"]]
        assert [each["clientConfig"]["service"]["path"] for each in others] == [path, path]


def test_no_entry_with_ignore_judges_a_new_pod():
    ignored = [each for each in _webhooks(Service()) if each["failurePolicy"] == "Ignore"]
    assert [each["rules"][0]["resources"] == ["pods"] for each in ignored] == [False] * len(ignored)


def test_with_enforce_deny_the_enforced_entries_select_every_namespace():
    for labels in ({}, {LABEL: "off"}, {OLD_LABEL: "warn"}, {LABEL: "deny"}):
        mutating, validating = (_for_pods(each, labels) for each in configurations(Service(), enforce_deny=True))
        assert [each["clientConfig"]["service"]["path"] for each in mutating] == ["/mutate/enforced"]
        assert [each["name"] for each in validating] == ["enforced-pods.vmguard.io"]


def test_a_url_replaces_the_service():
    enforced = ["/mutate/enforced"] * 2, ["/validate/enforced"] * 2
    paths = ["/mutate", *enforced[0], *enforced[1], "/validate", "/validate"]
    for webhook, path in zip(_webhooks(Url("https://127.0.0.1:9"), b"pem"), paths, strict=True):
        bundle = base64.b64encode(b"pem").decode()
        assert webhook["clientConfig"] == {"url": f"https://127.0.0.1:9{path}", "caBundle": bundle}


@pytest.mark.parametrize("target", [Service(), Url("https://127.0.0.1:9")])
def test_without_a_ca_there_is_no_bundle_key(target):
    """An empty value would conflict with the installed bundle, or remove it."""
    assert all("caBundle" not in webhook["clientConfig"] for webhook in _webhooks(target))


@pytest.mark.parametrize("enforce_deny", [False, True])
def test_of_all_namespaces_only_kube_system_is_excluded_by_name(enforce_deny):
    """The namespace of vmguard itself is not: people install vmguard beside the resources of a namespace."""
    for webhook in _webhooks(Service(namespace="elsewhere"), enforce_deny=enforce_deny):
        expressions = webhook["namespaceSelector"]["matchExpressions"]
        by_name = [each["values"] for each in expressions if each["key"] == "kubernetes.io/metadata.name"]
        assert by_name == ([] if webhook["name"] == "resources.vmguard.io" else [["kube-system"]])


def test_both_configurations_have_the_name_of_the_installation():
    assert [each["metadata"]["name"] for each in configurations(Service(), name="other")] == ["other", "other"]
