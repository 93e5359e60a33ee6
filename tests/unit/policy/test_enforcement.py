"""Under deny both webhooks deny what filling cannot repair, and the labels of a namespace can only tighten that."""

import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import settings as profile

from tests.support.examples import examples
from tests.support.sample_pods import (
    UNREACHABLE,
    Answers,
    admitted,
    decide,
    patched,
    pod,
    resource,
    reviewed,
    settings,
    vmsingle,
    workload,
)
from tests.support.strategies import cases
from webhook.admission.admission_review import review_of
from webhook.decision_cache import DecisionCache
from webhook.facts import NotServed
from webhook.manifests.webhooks import Service, staged
from webhook.offline.file_facts import FileFacts
from webhook.policy.enforcement import EXEMPT, LABEL, LEVELS, MODE_LABEL, OLD_LABEL, coverage, without_effect
from webhook.server.admission_handler import WEBHOOKS

PRIVILEGED = {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]}
VALUES = (None, "off", "warn", "deny", "Deny", "", "on")


def _namespace(**labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mon", "labels": labels}}


def _labels(new, old):
    return {label: value for label, value in ((LABEL, new), (OLD_LABEL, old)) if value is not None}


def _stricter(*values):
    levels = [value if value in LEVELS else "deny" for value in values if value is not None]
    return max(levels, key=LEVELS.index)


@pytest.mark.parametrize(("new", "old"), list(itertools.product(VALUES, VALUES)))
@pytest.mark.parametrize("enforce", LEVELS)
def test_the_strictest_of_the_setting_and_both_labels_counts(enforce, new, old):
    asked, objects = vmsingle(None, PRIVILEGED)
    known = [*objects, _namespace(**_labels(new, old))]
    level = _stricter(enforce, new, old)
    validated = decide(asked, known, webhook="validate", VMGUARD_ENFORCE=enforce)
    assert validated.outcome == {"off": "unchanged", "warn": "warned", "deny": "denied"}[level]
    mutated = decide(asked, known, VMGUARD_ENFORCE=enforce)
    assert mutated.outcome == ("denied" if level == "deny" else "patched")


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_a_denial_names_a_label_with_an_unknown_value(webhook):
    asked, objects = vmsingle(None, PRIVILEGED)
    decision = decide(asked, [*objects, _namespace(**_labels("warn", "dney"))], webhook=webhook)
    note = "the namespace label vmguard/enforce=dney counts as deny: allowed are off, warn, deny"
    assert decision.message.startswith("not compliant: ")
    assert decision.message.endswith(f"; {note}")
    assert decision.annotations["decision"] == f"denied: {decision.message}"
    both = decide(asked, [*objects, _namespace(**_labels("x\n", "y"))], webhook=webhook)
    assert "the namespace label vmguard.io/enforce=x and vmguard/enforce=y counts as deny" in both.message
    known = decide(asked, [*objects, _namespace(**_labels("deny", None))], webhook=webhook)
    assert "label" not in known.message


@pytest.mark.parametrize(
    ("labels", "shown"),
    [({}, None), ({MODE_LABEL: "enforce"}, None), ({MODE_LABEL: "enforced\n"}, "enforced"), ({MODE_LABEL: ""}, "")],
)
def test_a_mode_that_has_no_effect_is_named(labels, shown):
    """Otherwise a typing error would leave a namespace in audit without notice."""
    text = without_effect(labels)
    assert text == (
        ""
        if shown is None
        else f"the namespace label {MODE_LABEL}={shown} has no effect: the only allowed value is enforce"
    )


@pytest.mark.parametrize(("value", "is_named"), [("true", False), ("false", False), ("yes", True), ("True", True)])
def test_an_exemption_that_has_no_effect_is_named(value, is_named):
    assert (f"{EXEMPT}={value} has no effect" in without_effect({EXEMPT: value})) is is_named


def test_mutate_denies_what_filling_cannot_repair_and_sends_no_patch():
    asked, objects = vmsingle(None, PRIVILEGED)
    decision = decide(asked, objects, VMGUARD_ENFORCE="deny")
    assert (decision.outcome, decision.allowed, decision.patch) == ("denied", False, ())
    assert decision.message.startswith("not compliant: spec.containers[0].securityContext.privileged is true, wanted ")
    entry = {
        "rule": "security-context",
        "path": "/spec/containers/0/securityContext/privileged",
        "wanted": False,
        "found": True,
    }
    assert json.loads(decision.annotations["findings"])[0] == entry
    assert "runAsNonRoot" not in decision.annotations["findings"], "what would be filled is no reason for the denial"


@given(cases())
@profile(max_examples=examples(300), deadline=None)
def test_mutate_denies_exactly_the_pods_that_validate_denies_once_filled(case):
    """And it names at least the violations that are left in the filled pod."""
    asked, objects, minor, environment = case
    filled = patched(asked, decide(asked, objects, minor=minor, **environment))
    environment = {**environment, "VMGUARD_ENFORCE": "deny"}
    mutated = decide(asked, objects, minor=minor, **environment)
    validated = decide(filled, objects, minor=minor, webhook="validate", **environment)
    assert mutated.allowed == validated.allowed
    assert set(map(_place, validated.violations)) <= set(map(_place, mutated.violations))
    assert not validated.changes


def _place(violation):
    """The path and value without the index of a mount or volume, which is lower once vmguard has removed another."""
    return re.sub(r"/(volumeMounts|volumes)/\d+", r"/\1", violation.path), json.dumps(violation.found)


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
@pytest.mark.parametrize("fact", [UNREACHABLE, NotServed("live")], ids=["unknown", "not served"])
def test_a_namespace_that_cannot_be_read_never_counts_as_unlabelled(webhook, fact):
    asked, objects = vmsingle(None, PRIVILEGED)
    source = Answers({"Namespace": fact}, objects)
    decision = decide(asked, source=source, webhook=webhook)
    assert decision.outcome == "refused"
    assert decision.refused.startswith("vmguard does not know whether namespace mon enforces deny: ")
    assert "spec.containers[0].securityContext.privileged is true" in decision.refused
    allowed = decide(asked, source=source, webhook=webhook, VMGUARD_UNKNOWN="allow")
    assert allowed.allowed
    assert not allowed.refused
    assert allowed.warnings[-1].startswith("vmguard does not know whether namespace mon enforces deny: ")
    assert bool(allowed.patch) is (webhook == "mutate")
    audited = decide(asked, source=source, webhook=webhook, VMGUARD_MODE="audit")
    assert (audited.allowed, audited.refused, audited.patch) == (True, "", ())


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_the_namespace_is_looked_up_only_where_its_labels_can_matter(webhook):
    def looked_up(asked, objects, **environment):
        source = Answers({"Namespace": UNREACHABLE}, objects)
        decision, links = reviewed(asked, source=source, webhook=webhook, **environment)
        assert (decision.outcome == "refused") is ("Namespace" in [link.ref.kind for link in links])
        return decision.outcome == "refused"

    weak = vmsingle(None, PRIVILEGED)
    assert looked_up(*weak)
    assert not looked_up(*weak, VMGUARD_ENFORCE="deny")
    asked, objects = vmsingle()
    assert not looked_up(patched(asked, decide(asked, objects)), objects)
    assert looked_up(asked, objects) is (webhook == "validate"), "/mutate fills all that is missing"
    assert not looked_up(pod(), [])
    gone = vmsingle({"podSecurityPolicyName": "gone"}, PRIVILEGED)
    assert not looked_up(*gone), "it is denied without"
    unknown = resource("VMFoo", "x")
    owner = workload("StatefulSet", "vmfoo-x", unknown)
    assert looked_up(pod(owner), [unknown, owner])


def test_without_objects_no_label_counts():
    source = FileFacts([_namespace(**_labels("deny", None))], 30, complete=False)
    decision = decide(pod(None, PRIVILEGED), source=source)
    assert decision.outcome == "patched"


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
def test_a_cached_decision_follows_the_labels(webhook):
    """The label is changed between identical pods, and so is the setting, as by the path of the request."""
    asked, objects = vmsingle(None, PRIVILEGED)
    body = review_of(asked, uid="u", namespace="mon", name="db-0")
    cache, source = DecisionCache(), Answers({}, objects)

    def outcome(label, enforce="warn"):
        found = FileFacts([_namespace(**_labels(label, None))], 24).cached
        source.cached = lambda lookup: (found if lookup.ref.kind == "Namespace" else source._files.cached)(lookup)
        return admitted(body, source, settings(VMGUARD_ENFORCE=enforce), webhook, cache)[0].outcome

    base = {"mutate": "patched", "validate": "warned"}[webhook]
    outcomes = [outcome(label) for label in (None, "deny", None, "oops", "warn")]
    assert outcomes == [base, "denied", base, "denied", base]
    assert [outcome(None, "deny"), outcome(None)] == ["denied", base]


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_every_denial_lists_its_findings(mode):
    """Whichever webhook denies, and whatever it denies."""
    weak, objects = vmsingle(None, PRIVILEGED)
    gone, its_objects = vmsingle({"podSecurityPolicyName": "gone"})
    kind = resource("VMFoo", "x")
    owner = workload("StatefulSet", "vmfoo-x", kind)
    deny = {"VMGUARD_ENFORCE": "deny", "VMGUARD_MODE": mode}
    impossible = {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}
    denials = [
        *(decide(weak, objects, webhook=webhook, **deny) for webhook in ("mutate", "validate")),
        *(decide(gone, its_objects, webhook=webhook, minor=24, **deny) for webhook in ("mutate", "validate")),
        *(decide(pod(owner), [kind, owner], webhook=webhook, **deny) for webhook in ("mutate", "validate")),
        decide(resource("VMSingle", "db", {"podSecurityPolicyName": "gone"}), [], webhook="validate", minor=24, **deny),
        decide(resource("VMSingle", "db", impossible), [], webhook="validate", **deny),
        decide(resource("VMSingle", "db", {"useStrictSecurity": "false"}), [], webhook="validate", **deny),
    ]
    for decision in denials:
        assert decision.outcome == ("denied" if mode == "enforce" else "would-deny")
        assert decision.allowed is (mode == "audit")
        entries = json.loads(decision.annotations["findings"])
        assert entries
        assert all(entry.keys() == {"rule", "path", "wanted", "found"} for entry in entries)


@pytest.mark.parametrize(
    ("mode", "namespace", "labels", "expected"),
    [
        ("enforce", "mon", {}, "enforced"),
        ("enforce", "mon", {MODE_LABEL: "audit"}, "enforced"),
        ("audit", "mon", {}, "trial"),
        ("audit", "mon", {MODE_LABEL: "enforce"}, "enforced"),
        ("audit", "mon", {MODE_LABEL: "Enforce"}, "trial"),
        ("enforce", "mon", {EXEMPT: "true"}, "exempt"),
        ("audit", "mon", {EXEMPT: "true", MODE_LABEL: "enforce"}, "exempt"),
        ("enforce", "mon", {EXEMPT: "yes"}, "enforced"),
        ("enforce", "kube-system", {}, "excluded"),
        ("audit", "kube-system", {MODE_LABEL: "enforce", EXEMPT: "true"}, "excluded"),
    ],
)
def test_the_coverage_of_a_namespace_is_what_the_selectors_of_the_entries_make_of_it(mode, namespace, labels, expected):
    assert coverage(mode, namespace, labels) == expected


@pytest.mark.parametrize("namespace", ["mon", "kube-system"])
@pytest.mark.parametrize("exempt", [None, "true", "yes"])
@pytest.mark.parametrize("label", [None, "enforce", "Enforce"])
@pytest.mark.parametrize("trial", [True, False])
def test_coverage_agrees_with_the_shipped_entries_for_pods(namespace, exempt, label, trial):
    """By evaluating each namespaceSelector as the API server does."""
    own = {EXEMPT: exempt, MODE_LABEL: label}
    labels = {key: value for key, value in own.items() if value is not None}
    selected = [
        entry
        for entry in staged(Service(), trial=trial)[0]["webhooks"]
        if all(
            _matches(each, {**labels, "kubernetes.io/metadata.name": namespace})
            for each in entry["namespaceSelector"]["matchExpressions"]
        )
    ]
    found = coverage("audit" if trial else "enforce", namespace, labels)
    if not selected:
        assert found in {"exempt", "excluded"}
        return
    (entry,) = selected
    in_force = WEBHOOKS[entry["clientConfig"]["service"]["path"]].in_force
    assert found == ("enforced" if in_force or not trial else "trial")


def _matches(expression, labels):
    value, values = labels.get(expression["key"]), expression.get("values", ())
    operators = {"In": value in values, "NotIn": value not in values, "Exists": value is not None}
    return operators[expression["operator"]]


@pytest.mark.parametrize(
    ("labels", "environment", "denied"),
    [
        ({}, {}, False),
        ({LABEL: "warn"}, {}, False),
        ({LABEL: "deny"}, {}, True),
        ({OLD_LABEL: "oops"}, {}, True),
        ({}, {"VMGUARD_ENFORCE": "deny"}, True),
        ({LABEL: "deny"}, {"VMGUARD_MODE": "audit"}, False),
        ({LABEL: "deny", MODE_LABEL: "enforce"}, {"VMGUARD_MODE": "audit"}, True),
        ({LABEL: "deny", EXEMPT: "true"}, {}, False),
        (None, {}, False),
        (None, {"VMGUARD_ENFORCE": "deny"}, True),
    ],
)
def test_where_the_namespace_denies_the_warning_on_a_resource_says_that_its_pods_will_be_denied(
    labels, environment, denied
):
    """None is a Namespace that cannot be read."""
    custom = resource("VMSingle", spec={"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]})
    answers = {"Namespace": UNREACHABLE} if labels is None else {}
    source = Answers(answers, [] if labels is None else [_namespace(**labels)])
    warnings = decide(custom, source=source, webhook="validate", **environment).warnings
    text = "vmsingle: containers[vmsingle].securityContext.privileged is true, wanted "
    assert any(each.startswith(f"pods will be denied: {text}") for each in warnings) is denied
    assert any(each.startswith(text) for each in warnings) is not denied


def test_a_resource_with_nothing_to_correct_needs_no_namespace():
    _, links = reviewed(resource("VMSingle"), webhook="validate")
    assert "Namespace" not in {link.ref.kind for link in links}
