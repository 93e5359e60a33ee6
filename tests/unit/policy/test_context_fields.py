"""The table of security context fields: every field of Kubernetes has a row, and every row fails closed."""

from argparse import Namespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.context_values import PATHS, VALUES, pod_spec, trials
from tests.support.examples import examples
from tests.support.openapi_contexts import RECORDED, properties, without_row
from tests.support.rules_page import COMMAND, PAGE, generated
from tests.support.sample_pods import decide, patched, vmsingle
from webhook.cli import explain
from webhook.facts import NEWEST_MINOR
from webhook.policy.context_fields import FIELDS, LeftAlone
from webhook.policy.context_table import context_table

NEWEST = max(NEWEST_MINOR, *(row.since for row in FIELDS))
BY_MEANING = [trial for trial in trials() if trial.api != "undecodable"]
AT = [(row, level) for row in FIELDS for level in row.levels]
PLACE = {"pod": PATHS["pod"], "container": PATHS["container"]}


def judged(spec, minor=NEWEST, metadata=None, **environment):
    """The final pod, as vmguard filled it, and the decision on it under VMGUARD_ENFORCE=deny."""
    pod, objects = vmsingle(None, spec, **(metadata or {}))
    final = patched(pod, decide(pod, objects, minor=minor, **environment))
    decision = decide(final, objects, webhook="validate", minor=minor, VMGUARD_ENFORCE="deny", **environment)
    return final, decision


def with_value(level, name, value):
    """A pod's spec with one field set in the context of the pod or of its container."""
    parent, _, member = name.partition("/")
    context = {"securityContext": {parent: {member: value} if member else value}}
    main = {"name": "vmsingle"}
    return {"containers": [main], **context} if level == "pod" else {"containers": [{**main, **context}]}


def paths(decision):
    return [violation.path for violation in decision.violations]


@pytest.mark.parametrize("version", RECORDED)
def test_every_field_that_kubernetes_has_has_a_row(version):
    """Each field and each member of a field in the OpenAPI description is known to the table."""
    assert without_row(RECORDED[version]) == []


def test_a_field_without_a_row_is_found():
    """The comparison reports a new field, a new member of an object, and a new member of capabilities."""
    kinds = {"New": {"x": {}}, "Capabilities": {"add": {}, "keep": {}}, "SeccompProfile": {"type": {}, "strict": {}}}
    fields = {"capabilities": "Capabilities", "seccompProfile": "SeccompProfile", "newObject": "New"}
    contexts = {name: {"$ref": f"#/definitions/io.k8s.api.core.v1.{kind}"} for name, kind in fields.items()}
    kinds |= {"PodSecurityContext": {"newField": {"type": "string"}}, "SecurityContext": contexts}
    openapi = {"definitions": {f"io.k8s.api.core.v1.{kind}": {"properties": each} for kind, each in kinds.items()}}
    assert without_row(properties(openapi)) == [
        "pod newField",
        "container capabilities.keep",
        "container newObject.x",
        "container seccompProfile.strict",
    ]


def test_every_row_is_a_field_of_kubernetes():
    """A row that no known version has is a mistake, unless it is for a version newer than all known ones."""
    newest = RECORDED[f"1.{NEWEST_MINOR}"]
    for row, level in AT:
        assert row.since > NEWEST_MINOR or row.name.partition("/")[0] in newest[level], f"{level} {row.name}"


def test_a_row_says_when_its_field_came():
    """A field that Kubernetes 1.24 does not have is newer, and is not filled there."""
    for row, level in AT:
        assert (row.name.partition("/")[0] in RECORDED["1.24"][level]) == (row.since <= 24), f"{level} {row.name}"


@pytest.mark.parametrize(("row", "level"), AT, ids=lambda each: getattr(each, "name", each))
def test_a_row_is_filled_or_says_why_not(row, level):
    """A bare pod gets the strict value of every row that is filled, and nothing of a row that is left alone."""
    final, decision = judged({}, NEWEST)
    assert decision.allowed
    context = {"pod": final["spec"], "container": final["spec"]["containers"][0]}[level]["securityContext"]
    for part in row.name.split("/"):
        context = context.get(part) if context else None
    assert context == (row.strict if row.fills(level) else None)
    assert not isinstance(row.strict, LeftAlone) or row.strict.because


@pytest.mark.parametrize("value", [{"no": "such"}, "no such value", 987.5, ["no such value"], [{"no": "such"}], -1])
@pytest.mark.parametrize(("row", "level"), AT, ids=lambda each: getattr(each, "name", each))
def test_every_row_reports_a_value_that_it_does_not_know(row, level, value):
    """A value of any type that is neither strict nor accepted is a violation that names its field."""
    _, decision = judged(with_value(level, row.name, value))
    assert not decision.allowed
    assert f"{PLACE[level]}/{row.name}" in paths(decision)


def test_the_values_tried_cover_every_row():
    """Each row is tried with its strict value, an accepted, a weak and an unknown one, as far as it has such."""
    tried = {(name, levels) for name, levels in VALUES if name != "newField"}
    assert tried == {(row.name, row.levels) for row in FIELDS if row.since <= NEWEST_MINOR}
    all_are_accepted = {"fsGroupChangePolicy", "supplementalGroupsPolicy", "seLinuxChangePolicy"}
    for row in FIELDS:
        if row.since > NEWEST_MINOR:
            continue
        meanings = VALUES[row.name, row.levels].keys()
        assert meanings >= {"unknown", *(() if row.name in all_are_accepted else ("weak",))}, row.name
        assert ("strict" in meanings) == (not isinstance(row.strict, LeftAlone)), row.name
        assert ("accepted" in meanings) == bool(row.accepted.text), row.name


@pytest.mark.parametrize("trial", BY_MEANING, ids=str)
def test_weak_and_unknown_values_are_denied_and_others_are_not(trial):
    """The final pod is denied for exactly the field that has the value."""
    final, decision = judged(pod_spec(trial))
    assert decision.allowed is not trial.denied, decision.message
    assert (trial.path in paths(decision)) is trial.denied
    if not trial.denied:
        assert decision.violations == ()
    else:
        dotted = trial.path.removeprefix("/").replace("/0", "[0]").replace("/", ".")
        assert f"{dotted} is " in decision.message
    assert final["spec"]["containers"][0]["name"] == "vmsingle"


def test_a_violation_names_field_value_and_reason():
    """The message says what is wrong where, what is wanted, why, and which setting wants it."""
    spec = with_value("container", "procMount", "Unmasked")
    assert judged(spec)[1].message == (
        'not compliant: spec.containers[0].securityContext.procMount is "Unmasked", wanted Default: it uncovers parts'
        " of /proc (VM_ENABLESTRICTSECURITY)"
    )
    spec = with_value("pod", "newField", {"on": True})
    assert judged(spec)[1].message == (
        'not compliant: spec.securityContext.newField is {"on":true}, wanted absent: vmguard does not know this field;'
        " remove it, or update vmguard (VM_ENABLESTRICTSECURITY)"
    )
    spec = with_value("pod", "fsGroup", 0)
    assert "fsGroup is 0, wanted 65534: group 0 is root's group; any group but 0 is accepted too" in str(
        judged(spec)[1]
    )


@pytest.mark.parametrize("name", ["capabilities/drop", "a/b", "a~b"])
def test_no_name_of_a_field_is_taken_for_a_row_of_capabilities(name):
    """A field called `capabilities/drop` is not the member `drop` of capabilities."""
    spec = {"containers": [{"name": "vmsingle", "securityContext": {name: ["ALL"]}}]}
    final, decision = judged(spec)
    assert final["spec"]["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert paths(decision) == [f"{PLACE['container']}/{name.replace('~', '~0').replace('/', '~1')}"]


@pytest.mark.parametrize(
    ("minor", "key", "value", "denied"),
    [
        (26, "seccomp.security.alpha.kubernetes.io/pod", "unconfined", True),
        (26, "seccomp.security.alpha.kubernetes.io/pod", "no-such", True),
        (26, "seccomp.security.alpha.kubernetes.io/pod", "docker/default", False),
        (27, "seccomp.security.alpha.kubernetes.io/pod", "unconfined", False),
        (26, "container.seccomp.security.alpha.kubernetes.io/vmsingle", "no-such", True),
        (26, "container.seccomp.security.alpha.kubernetes.io/vmsingle", "localhost/x", False),
        (26, "container.seccomp.security.alpha.kubernetes.io/mine", "unconfined", False),
        (29, "container.apparmor.security.beta.kubernetes.io/vmsingle", "unconfined", True),
        (37, "container.apparmor.security.beta.kubernetes.io/vmsingle", "unconfined", True),
        (29, "container.apparmor.security.beta.kubernetes.io/vmsingle", "runtime/default", False),
        (29, "container.apparmor.security.beta.kubernetes.io/vmsingle", "localhost/x", False),
        (29, "container.apparmor.security.beta.kubernetes.io/mine", "unconfined", False),
    ],
)
def test_an_annotation_with_the_meaning_of_a_field_is_judged_like_it(minor, key, value, denied):
    """A profile that is switched off or not known in an annotation is a violation while the annotation counts."""
    spec = {"containers": [{"name": "vmsingle"}, {"name": "mine"}]}
    _, decision = judged(spec, minor, {"annotations": {key: value}})
    assert (paths(decision) == [f"/metadata/annotations/{key.replace('/', '~1')}"]) is denied
    assert decision.allowed is not denied


@pytest.mark.parametrize("name", ["runAsUser", "runAsGroup", "fsGroup"])
def test_root_is_a_violation_where_the_platform_chooses_users(name):
    """VMGUARD_RUN_AS=platform fills no user and no group, and takes any but root's."""
    assert judged(with_value("pod", name, 1000600000), VMGUARD_RUN_AS="platform")[1].allowed
    assert paths(judged(with_value("pod", name, 0), VMGUARD_RUN_AS="platform")[1]) == [f"{PATHS['pod']}/{name}"]


def test_the_users_container_may_have_any_value_unless_it_is_hardened():
    """A value in a container that the operator did not make is not judged here."""
    mine = {"name": "mine", "securityContext": {"procMount": "Unmasked", "capabilities": {"add": ["NET_RAW"]}}}
    spec = {"containers": [{"name": "vmsingle"}, mine]}
    assert judged(spec)[1].allowed
    names = [path.rpartition("securityContext/")[2] for path in paths(judged(spec, VMGUARD_HARDEN_SIDECARS="true")[1])]
    assert names == ["procMount", "capabilities/add"]


@pytest.mark.parametrize("own", [{"procMount": "Unmasked"}, {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}])
def test_a_resources_own_context_may_have_any_value(own):
    """The table's accepted values are those of strict security; a resource's own securityContext opts out of it."""
    pod, objects = vmsingle({"securityContext": own})
    final = patched(pod, decide(pod, objects, minor=NEWEST))
    assert decide(final, objects, webhook="validate", minor=NEWEST, VMGUARD_ENFORCE="deny").allowed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KNOWN = [trial.value for trial in trials()]


@given(
    st.sampled_from(AT),
    st.sampled_from(KNOWN) | JSON,
    st.sampled_from([20, 24, 30, NEWEST]),
    st.sampled_from(["", "os"]),
)
@settings(max_examples=examples(500), deadline=None)
def test_a_pod_that_passes_has_strict_or_accepted_values_only(at, value, minor, windows):
    """For any value in any field: the pod is denied, or the value is the strict one, an accepted one or absent."""
    row, level = at
    if row.name.startswith("capabilities/") or value in (None, [], {}):
        return
    spec = with_value(level, row.name, value)
    if windows:
        spec["os"] = {"name": "windows"}
    _, decision = judged(spec, minor)
    assert decision.allowed is row.accepts(value, minor), decision.message


def test_a_container_inherits_what_pod_and_container_both_have():
    """A field that Kubernetes has at both levels is one row, so a container's value takes the place of the pod's."""
    newest = RECORDED[f"1.{NEWEST_MINOR}"]
    inherited = {row.name for row in FIELDS if row.inherited and row.since <= NEWEST_MINOR}
    assert inherited == newest["pod"].keys() & newest["container"].keys()


def test_explain_shows_the_table(capsys):
    """`vmguard explain security-context` prints every row."""
    explain.run(Namespace(rule="security-context"))
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("|")] == context_table()
    assert len(context_table()) == len(FIELDS) + 2


def test_the_page_has_the_table_that_the_code_has():
    """docs/rules.md shows the rows of the code."""
    page = PAGE.read_text()
    assert page == generated(page), f"run: {COMMAND}"
    assert "\n".join(context_table()) in page
