"""The default policies of any resources give no account more than its own policy and those that are bindable."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.cluster.collections import MANAGER
from webhook.leader.psp_objects import LABEL, OURS, PREFIX, Custom, is_as, is_beyond, is_ours, wanted
from webhook.policy.components import BY_KIND
from webhook.policy.custom_resources import BY_KIND as RESOURCES
from webhook.policy.custom_resources import GROUP
from webhook.settings import Settings

NAMES = st.sampled_from(["a", "b", "privileged"])
POLICIES = st.sampled_from(["listed", "privileged", "vmsingle-a", ""])
PARTS = st.fixed_dictionaries({}, optional={"podSecurityPolicyName": POLICIES, "serviceAccountName": NAMES})
SPECS = st.builds(
    lambda root, parts: {**root, **parts},
    PARTS,
    st.dictionaries(st.sampled_from(["vmselect", "vmstorage", "vminsert", "vlselect"]), PARTS),
)


@st.composite
def customs(draw):
    keys = draw(st.sets(st.tuples(st.sampled_from(sorted(BY_KIND)), st.sampled_from(["x", "y"]), NAMES), max_size=8))
    return tuple(
        Custom(kind, RESOURCES[kind].storage, namespace, name, f"{kind}/{namespace}/{name}", draw(SPECS))
        for kind, namespace, name in sorted(keys)
    )


BINDABLE = st.sampled_from(["", "listed", "listed,vmsingle-a"])
FOREIGN = st.frozensets(st.sampled_from(["vmsingle-a", "vmcluster-b", "vmagent-privileged"]))


def settings(bindable):
    return Settings.from_environment({"VMGUARD_PSP_BINDABLE": bindable})


@pytest.mark.slow
@given(customs(), BINDABLE, FOREIGN)
def test_an_account_may_use_only_its_own_default_policy_and_listed_ones(some, bindable, foreign):
    asked = wanted(some, settings(bindable), foreign)
    listed = set(settings(bindable).psp_bindable)
    for place, role in asked.roles.items():
        owner = asked.owners[place]
        (rule,) = role["rules"]
        assert (rule["apiGroups"], rule["resources"]) == (["policy"], ["podsecuritypolicies"])
        assert rule["verbs"] == ["use"]
        assert rule["resourceNames"], "no names would be all names"
        for name in rule["resourceNames"]:
            assert name in listed or (name == owner.made and name not in foreign and name in asked.policies)


@given(customs(), BINDABLE, FOREIGN)
def test_objects_of_a_namespace_are_owned_by_its_resource_and_have_the_label(some, bindable, foreign):
    asked = wanted(some, settings(bindable), foreign)
    assert asked.roles.keys() == asked.bindings.keys()
    for things in (asked.roles, asked.bindings, asked.accounts):
        for (namespace, name), thing in things.items():
            meta, owner = thing["metadata"], asked.owners[namespace, name]
            assert (meta["namespace"], meta["name"], meta["labels"]) == (namespace, name, {LABEL: OURS})
            assert [each["uid"] for each in meta["ownerReferences"]] == [owner.uid]
            assert owner.namespace == namespace
    for place, binding in asked.bindings.items():
        assert binding["roleRef"]["name"] == place[1] == PREFIX + asked.owners[place].made
        (subject,) = binding["subjects"]
        assert (subject["namespace"], subject["name"]) == (place[0], asked.owners[place].account)


@given(customs(), BINDABLE, FOREIGN)
def test_a_foreign_policy_is_never_written_and_none_is_written_that_nobody_uses(some, bindable, foreign):
    asked = wanted(some, settings(bindable), foreign)
    assert not foreign & asked.policies.keys()
    used = {name for role in asked.roles.values() for name in role["rules"][0]["resourceNames"]}
    assert asked.policies.keys() <= used


@pytest.mark.slow
@given(customs(), BINDABLE, FOREIGN, st.randoms())
def test_the_order_of_resources_makes_no_difference(some, bindable, foreign, random):
    shuffled = list(some)
    random.shuffle(shuffled)
    one, other = (wanted(each, settings(bindable), foreign) for each in (some, shuffled))
    assert (one.policies, one.roles, one.bindings, one.accounts) == (
        other.policies,
        other.roles,
        other.bindings,
        other.accounts,
    )
    assert set(map(str, one.refused)) == set(map(str, other.refused))


@given(customs(), BINDABLE, FOREIGN)
def test_accounts_that_are_not_bound_to_all_they_need_are_named(some, bindable, foreign):
    asked = wanted(some, settings(bindable), foreign)
    told = {each.custom.uid for each in asked.refused}
    bound = {each.uid for each in asked.owners.values()}
    runs = {each.uid for each in some if any(component.runs_in(each.spec) for component in BY_KIND[each.kind])}
    assert told | bound == runs


def test_the_policy_is_what_the_operator_made_and_allows_the_runtimes_profile():
    custom = Custom("VMSingle", "v1beta1", "mon", "db", "u", {})
    asked = wanted([custom], settings(""))
    policy = asked.policies["vmsingle-db"]
    any_rule = {"rule": "RunAsAny"}
    assert policy["spec"] == {
        "allowPrivilegeEscalation": False,
        "fsGroup": any_rule,
        "runAsUser": any_rule,
        "seLinux": any_rule,
        "supplementalGroups": any_rule,
        "hostNetwork": True,
        "requiredDropCapabilities": ["ALL"],
        "volumes": ["persistentVolumeClaim", "secret", "emptyDir", "configMap", "projected", "downwardAPI", "nfs"],
    }
    assert set(policy["metadata"]["annotations"].values()) == {"runtime/default"}
    assert asked.accounts.keys() == {("mon", "vmsingle-db")}


def made(metadata):
    """An object from here in the form of the API server, without some of its metadata."""
    return {"metadata": {"labels": {LABEL: OURS}, "managedFields": [{"manager": "a"}, {"manager": MANAGER}]} | metadata}


OWNED = {
    "name": "vmguard:vmsingle-db",
    "namespace": "mon",
    "ownerReferences": [{"apiVersion": f"{GROUP}/v1beta1", "kind": "VMSingle", "name": "db", "uid": "u"}],
}


@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        ({}, True),
        ({"labels": {LABEL: OURS, "more": "of it"}}, True),
        ({"labels": None}, False),
        ({"labels": {LABEL: "somebody"}}, False),
        ({"name": "vmsingle-db"}, False),
        ({"name": "vmguard:leader-election"}, False),
        ({"name": "vmguard-leader-election"}, False),
        ({"ownerReferences": None}, False),
        ({"ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "db", "uid": "u"}]}, False),
        ({"managedFields": None}, False),
        ({"managedFields": [{"manager": "kubectl"}]}, False),
    ],
)
def test_only_an_object_with_all_marks_is_vmguards(metadata, ours):
    assert is_ours(made(OWNED | metadata), PREFIX) is ours


@pytest.mark.parametrize(("name", "ours"), [("vmsingle-db", True), ("vmguard-own", False), ("vmsingle", True)])
def test_a_policy_of_ours_is_owned_by_nobody_and_called_after_a_kind(name, ours):
    assert is_ours(made({"name": name})) is ours


def test_an_object_is_as_it_must_be_with_whatever_metadata_it_has_besides():
    asked = wanted([Custom("VMSingle", "v1beta1", "mon", "db", "u", {})], settings(""))
    (role,), (binding,) = asked.roles.values(), asked.bindings.values()
    there = copy.deepcopy(role)
    there["metadata"] |= {"uid": "x", "annotations": {"some": "body's"}}
    there["metadata"]["ownerReferences"] = [{"uid": "other"}, there["metadata"]["ownerReferences"][0] | {"a": True}]
    assert is_as(there, role)
    assert is_as({**there, "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}, role)
    for metadata in ({"labels": {}}, {"ownerReferences": None}, {"ownerReferences": [{"uid": "other"}]}):
        less = {**there, "metadata": there["metadata"] | metadata}
        assert not is_as(less, role)
        assert not is_beyond(less, role)
    for content in ({"rules": []}, {"rules": None}, {"rules": [*role["rules"], *role["rules"]]}):
        assert not is_as(there | content, role)
        assert not is_beyond(there | content, role), "server-side apply writes lists whole"
    other = binding | {"roleRef": binding["roleRef"] | {"name": "admin"}}
    assert not is_as(other, binding)
    assert is_beyond(other, binding), "a roleRef cannot be changed"


@pytest.mark.parametrize(
    ("loosened", "beyond"),
    [
        ({"privileged": True}, True),
        ({"hostPID": True}, True),
        ({"hostPorts": [{"min": 1, "max": 65535}]}, True),
        ({"fsGroup": {"rule": "RunAsAny", "ranges": []}}, True),
        ({"allowPrivilegeEscalation": True}, False),
        ({"volumes": ["*"]}, False),
    ],
)
def test_a_policy_that_allows_more_is_not_as_it_must_be(loosened, beyond):
    """The leader creates it again if server-side apply would leave a field too much."""
    policy = wanted([Custom("VMSingle", "v1beta1", "mon", "db", "u", {})], settings("")).policies["vmsingle-db"]
    there = policy | {"spec": policy["spec"] | loosened}
    assert is_as(policy, policy)
    assert not is_as(there, policy)
    assert is_beyond(there, policy) is beyond
