"""What default policies there must be, for any resources: nobody is let use what nobody said they may."""

from hypothesis import given
from hypothesis import strategies as st

from webhook.leader.policies import LABEL, OURS, PREFIX, Custom, covers, wanted
from webhook.policy.components import BY_KIND
from webhook.policy.resources import BY_KIND as RESOURCES
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


@given(customs(), BINDABLE, FOREIGN)
def test_nobody_may_use_more_than_their_own_default_and_what_is_listed(some, bindable, foreign):
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
def test_what_belongs_to_a_namespace_is_owned_by_its_resource_and_wears_the_label(some, bindable, foreign):
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
def test_who_is_not_bound_to_all_they_need_is_told(some, bindable, foreign):
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


def test_what_covers_is_all_there_with_whatever_else_is():
    asked = {"a": {"b": [1]}, "ownerReferences": [{"uid": "u"}]}
    there = {"a": {"b": [1], "c": 2}, "ownerReferences": [{"uid": "other"}, {"uid": "u", "controller": True}], "d": 1}
    assert covers(there, asked)
    for less in (
        {**there, "a": {"b": [1, 2]}},
        {**there, "a": None},
        {**there, "ownerReferences": [{"uid": "other"}]},
        {**there, "ownerReferences": None},
        {},
    ):
        assert not covers(less, asked)
