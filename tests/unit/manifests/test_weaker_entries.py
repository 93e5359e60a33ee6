"""What is reported of installed webhook entries: what weakens enforcement, and not what a person may choose."""

import copy

import pytest

from tests.support.installed_entries import entries_of
from webhook.manifests.weaker_entries import weaker, weaker_entries
from webhook.manifests.webhooks import MATCH_CONDITIONS, Service, configurations, denying, staged

MUTATING, VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
TARGET = Service()


def _installed(**how):
    """The entries of an installation by their names, which a test changes."""
    return _by_name(staged(TARGET, **how) if how else configurations(TARGET))


def _by_name(made):
    return {each["kind"]: {entry["name"]: copy.deepcopy(entry) for entry in each["webhooks"]} for each in made}


def _weaker(installed, trial=None):
    objects = ({"kind": kind, "webhooks": list(entries.values())} for kind, entries in installed.items())
    return weaker(entries_of(objects), name="vmguard", trial=trial)


def _every(installed):
    return [entry for entries in installed.values() for entry in entries.values()]


def _denied(installed):
    """The same with the component `enforce-deny`."""
    for entries, changes in zip(installed.values(), denying(TARGET), strict=True):
        for name, changed in changes.items():
            entries[name] |= changed
    return installed


@pytest.mark.parametrize(
    ("installed", "mode"),
    [
        (_installed(trial=True), True),
        (_installed(trial=False), False),
        (_denied(_installed(trial=True)), True),
        (_denied(_installed(trial=False)), False),
        (_installed(trial=False, watched=("mon",)), False),
        (_installed(), False),
        (
            {
                each["kind"]: {e["name"]: e for e in each["webhooks"]}
                for each in configurations(TARGET, enforce_deny=True)
            },
            0,
        ),
    ],
)
def test_each_form_of_the_manifests_is_as_it_should_be(installed, mode):
    assert _weaker(installed, mode) == ()
    assert _weaker(installed, None) == ()


def test_entries_are_not_weaker_by_what_a_person_may_choose():
    installed = _installed(trial=False)
    for entry in _every(installed):
        entry["timeoutSeconds"] = 1
        entry["namespaceSelector"]["matchLabels"] = {"team": "a"}
        if "objectSelector" in entry:
            entry["objectSelector"]["matchExpressions"] = [{"key": "tier", "operator": "Exists"}]
    pods = installed[MUTATING]["pods.vmguard.io"]
    pods["namespaceSelector"]["matchExpressions"] = []
    pods["rules"] = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]
    installed[VALIDATING]["resources.vmguard.io"] |= {"failurePolicy": "Fail", "matchConditions": MATCH_CONDITIONS}
    installed[VALIDATING]["another.example.com"] = {"name": "another.example.com"}
    assert _weaker(installed, trial=False) == ()


def test_ignore_is_weaker_where_vmguard_enforces():
    """In a trial only the entries for namespaces in force must have Fail."""
    sentences = _weaker(_installed(trial=True), trial=False)
    assert len(sentences) == 5
    assert sentences[0] == (
        "failurePolicy of the entry pods.vmguard.io of MutatingWebhookConfiguration vmguard is Ignore instead of Fail: "
        "without an answer of vmguard the API server admits the pods"
    )
    installed = _installed(trial=True)
    installed[MUTATING]["pods-in-force.vmguard.io"]["failurePolicy"] = "Ignore"
    (sentence,) = _weaker(installed, trial=True)
    assert sentence.startswith("failurePolicy of the entry pods-in-force.vmguard.io ")


def test_where_the_mode_is_not_known_one_entry_with_ignore_is_weaker_and_all_of_them_are_a_trial():
    installed = _installed(trial=False)
    installed[MUTATING]["pods.vmguard.io"]["failurePolicy"] = "Ignore"
    assert len(_weaker(installed)) == 1
    assert _weaker(_installed(trial=True)) == ()


@pytest.mark.parametrize(
    ("kind", "name", "change", "sentence"),
    [
        (
            MUTATING,
            "pods.vmguard.io",
            {"namespaceSelector": {"matchLabels": {"team": "a"}}},
            "namespaceSelector of the entry pods.vmguard.io of MutatingWebhookConfiguration vmguard also requires team "
            "In (a): vmguard does not fill the pods that this leaves out",
        ),
        (
            MUTATING,
            "pods-in-force.vmguard.io",
            {"objectSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["b", "a"]}]}},
            "also requires tier NotIn (a, b): vmguard does not fill the pods that this leaves out",
        ),
        (
            VALIDATING,
            "enforced-pods.vmguard.io",
            {"rules": []},
            "rules of the entry enforced-pods.vmguard.io of ValidatingWebhookConfiguration vmguard lack CREATE of "
            "pods: vmguard does not check the pods that this leaves out",
        ),
        (
            MUTATING,
            "pods.vmguard.io",
            {
                "rules": [
                    {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
                    | {"scope": "Cluster"}
                ]
            },
            "lack CREATE of pods",
        ),
        (
            MUTATING,
            "pods.vmguard.io",
            {"matchConditions": [{"name": "not-mine", "expression": "false"}]},
            "matchConditions of the entry pods.vmguard.io of MutatingWebhookConfiguration vmguard also have not-mine: ",
        ),
        (
            VALIDATING,
            "resources.vmguard.io",
            {"matchConditions": [{"name": "not-being-deleted", "expression": "false"}]},
            "also have not-being-deleted: vmguard does not report on the objects that this leaves out",
        ),
    ],
)
def test_what_an_entry_leaves_out_is_named_with_the_consequence(kind, name, change, sentence):
    installed = _installed(trial=False)
    installed[kind][name] |= change
    (found,) = _weaker(installed, trial=False)
    assert sentence in found


def test_of_many_resources_that_are_left_out_five_are_named():
    installed = _installed(trial=False)
    (rule,) = installed[VALIDATING]["resources.vmguard.io"]["rules"]
    resources = rule["resources"]
    rule["resources"] = resources[:1]
    (sentence,) = _weaker(installed, trial=False)
    assert f"lack CREATE of {resources[1]}, " in sentence
    assert f" and {2 * (len(resources) - 1) - 5} more: " in sentence


def test_a_condition_on_a_label_of_vmguard_is_never_on_purpose():
    """Here the entries for namespaces in force were deleted, and all others leave these namespaces out."""
    installed = {
        kind: {name: entry for name, entry in entries.items() if "-in-force" not in name}
        for kind, entries in _installed(trial=False).items()
    }
    sentences = _weaker(installed, trial=False)
    assert len(sentences) == len(_every(installed))
    assert all("also requires vmguard.io/mode NotIn (enforce): " in each for each in sentences)


def test_an_entry_for_pods_that_is_missing_is_named():
    installed = _installed(trial=False)
    del installed[MUTATING]["pods.vmguard.io"], installed[VALIDATING]["resources.vmguard.io"]
    assert _weaker(installed, trial=False) == (
        "MutatingWebhookConfiguration vmguard has no entry pods.vmguard.io: the API server does not call vmguard for "
        "its pods",
    )


def test_weaker_and_missing_entries_are_listed_by_configuration_and_entry():
    """A compared configuration without weaker entries is in the result, too, and one without a known entry is not."""
    entries = {name: entry for name, entry in _installed(trial=False)[MUTATING].items() if name != "pods.vmguard.io"}
    changed = entries["pods-in-force.vmguard.io"]
    changed |= {"failurePolicy": "Ignore", "matchConditions": [{"name": "a", "expression": "false"}]}
    objects = [{"kind": MUTATING, "webhooks": list(entries.values())}]
    by_kind = weaker_entries(entries_of(objects), name="vmguard", trial=False)
    counts = {name: len(sentences) for name, sentences in by_kind[MUTATING].items()}
    assert counts == {"pods-in-force.vmguard.io": 2, "pods.vmguard.io": 1}
    objects = [
        {"kind": MUTATING, "webhooks": list(_installed(trial=False)[MUTATING].values())},
        {"kind": VALIDATING, "webhooks": [{"name": "renamed.example.com"}]},
    ]
    assert weaker_entries(entries_of(objects), name="vmguard", trial=False) == {MUTATING: {}}


def test_a_missing_configuration_and_an_unknown_entry_are_not_reported():
    assert _weaker({}) == ()
    assert _weaker({MUTATING: {"renamed.example.com": {"name": "renamed.example.com"}}}) == ()
