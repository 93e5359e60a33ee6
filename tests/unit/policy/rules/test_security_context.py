"""security-context: missing fields are filled, existing values stay, and weak ones are violations."""

import pytest

from tests.support.preview_warnings import PASSES_RESTRICTED, warnings_on
from tests.support.sample_pods import STRICT, decide, patched, pod, resource, vmsingle, workload

STRICT_POD = {
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "runAsGroup": 65534,
    "fsGroup": 65534,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _out(pod_spec=None, cr_spec=None, minor=30, metadata=None, **environment):
    asked, objects = vmsingle(cr_spec, pod_spec, **(metadata or {}))
    decision = decide(asked, objects, minor=minor, **environment)
    done = patched(asked, decision)
    assert not decide(done, objects, minor=minor, **environment).patch, "a second review has no patch"
    return done["spec"], decision


def _paths(decision):
    return [violation.path for violation in decision.violations]


def _container(context):
    return {"containers": [{"name": "vmsingle", "securityContext": context}]}


def test_a_bare_pod_gets_the_whole_strict_context():
    spec, _ = _out()
    assert spec["securityContext"] == STRICT_POD
    assert spec["containers"][0]["securityContext"] == STRICT


def test_a_missing_parent_is_added_once_and_not_field_by_field():
    _, decision = _out()
    assert [operation.path for operation in decision.patch] == [
        "/spec/securityContext",
        "/spec/containers/0/securityContext",
    ]


@pytest.mark.parametrize("context", [None, {}, {"capabilities": None}, {"capabilities": {"drop": []}}])
def test_null_and_empty_count_as_absent(context):
    spec, _ = _out(_container(context))
    assert spec["containers"][0]["securityContext"]["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize(
    ("context", "complaint"),
    [
        ({"privileged": True}, ["privileged", "allowPrivilegeEscalation"]),
        ({"allowPrivilegeEscalation": True}, ["allowPrivilegeEscalation"]),
        ({"readOnlyRootFilesystem": False}, ["readOnlyRootFilesystem"]),
        ({"runAsNonRoot": False}, ["runAsNonRoot"]),
        ({"capabilities": {"drop": ["NET_RAW"]}}, ["capabilities/drop"]),
        ({"capabilities": {"drop": ["all"]}}, ["capabilities/drop"]),
        ({"capabilities": {"add": ["CAP_SYS_ADMIN"]}}, ["allowPrivilegeEscalation", "capabilities/add"]),
        ({"capabilities": {"add": ["SYS_ADMIN"]}}, ["allowPrivilegeEscalation", "capabilities/add"]),
        ({"runAsUser": 1000, "runAsGroup": 1000}, []),
        ({"capabilities": {"drop": ["ALL", "NET_RAW"], "add": ["NET_BIND_SERVICE"]}}, []),
    ],
)
def test_existing_values_are_not_changed_and_weaker_ones_are_violations(context, complaint):
    spec, decision = _out(_container(context))
    out = spec["containers"][0]["securityContext"]
    assert all(out[field] == value or field == "capabilities" for field, value in context.items())
    if "capabilities" in context:
        assert out["capabilities"].items() >= context["capabilities"].items()
    assert sorted(_paths(decision)) == sorted(f"/spec/containers/0/securityContext/{field}" for field in complaint)
    escalates = context.get("privileged") or ("add" in context.get("capabilities", {}) and "SYS_ADMIN" in str(context))
    assert not (escalates and out.get("allowPrivilegeEscalation") is False)


def test_a_container_keeps_the_user_that_its_pod_gives_it():
    spec, decision = _out({"securityContext": {"runAsUser": 1000, "runAsGroup": 2000}})
    assert "runAsUser" not in spec["containers"][0]["securityContext"]
    assert "runAsGroup" not in spec["containers"][0]["securityContext"]
    assert spec["containers"][0]["securityContext"]["runAsNonRoot"] is True
    assert not decision.violations


def test_run_as_non_root_is_not_filled_where_the_pod_runs_as_root():
    spec, decision = _out({"securityContext": {"runAsUser": 0}})
    assert "runAsNonRoot" not in spec["securityContext"]
    assert "runAsNonRoot" not in spec["containers"][0]["securityContext"]
    assert _paths(decision) == ["/spec/securityContext/runAsUser"]


def test_a_root_sidecar_under_a_non_root_pod_is_a_violation_that_names_it():
    sidecar = {"name": "shipper", "securityContext": {"runAsUser": 0}}
    spec, decision = _out({"containers": [{"name": "vmsingle"}, sidecar]}, {"containers": [sidecar]})
    assert spec["containers"][1] == sidecar, "the user's container is left as it is"
    assert spec["securityContext"]["runAsNonRoot"] is True
    (violation,) = decision.violations
    assert violation.path == "/spec/containers/1/securityContext/runAsUser"
    assert decision.warnings == (
        "spec.containers[1].securityContext.runAsUser is 0, wanted not 0: runAsNonRoot of the pod is true, so the"
        " kubelet will not start container 'shipper' (VM_ENABLESTRICTSECURITY) [security-context]",
    )


def test_native_sidecars_of_the_user_are_left_unless_asked():
    init = {"initContainers": [{"name": "mine", "restartPolicy": "Always"}]}
    assert "securityContext" not in _out(init)[0]["initContainers"][0]
    assert _out(init, VMGUARD_HARDEN_SIDECARS="true")[0]["initContainers"][0]["securityContext"] == STRICT


def test_the_platform_may_choose_users_and_groups():
    spec, _ = _out(VMGUARD_RUN_AS="platform")
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert not {"runAsUser", "runAsGroup"} & spec["containers"][0]["securityContext"].keys()


def test_windows_pods_take_run_as_non_root_only():
    spec, _ = _out({"os": {"name": "windows"}})
    assert spec["securityContext"] == {"runAsNonRoot": True}
    assert spec["containers"][0]["securityContext"] == {"runAsNonRoot": True}


@pytest.mark.parametrize(("minor", "filled"), [(26, False), (27, True)])
def test_a_legacy_seccomp_annotation_counts_below_1_27_only(minor, filled):
    metadata = {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"}}
    spec, _ = _out(minor=minor, metadata=metadata)
    assert ("seccompProfile" in spec["securityContext"]) is filled


def test_seccomp_switched_off_by_annotation_is_a_violation():
    metadata = {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}
    assert _paths(_out(minor=24, metadata=metadata)[1]) == [
        "/metadata/annotations/seccomp.security.alpha.kubernetes.io~1pod"
    ]


def test_fs_group_change_policy_needs_1_20():
    assert "fsGroupChangePolicy" not in _out(minor=19)[0]["securityContext"]


@pytest.mark.parametrize("use", [True, False])
def test_the_resources_own_context_takes_the_place_of_strict(use):
    own = {"runAsUser": 1000, "fsGroup": 1000, "capabilities": {"drop": ["NET_RAW"]}, "readOnlyRootFilesystem": True}
    spec, _ = _out(cr_spec={"securityContext": own, "useStrictSecurity": use})
    assert spec["securityContext"] == {"runAsUser": 1000, "fsGroup": 1000}
    assert spec["containers"][0]["securityContext"] == {
        "runAsUser": 1000,
        "capabilities": {"drop": ["NET_RAW"]},
        "readOnlyRootFilesystem": True,
    }


def test_an_empty_context_of_the_resource_opts_out():
    assert not _out(cr_spec={"securityContext": {}, "useStrictSecurity": True})[1].patch


def test_an_own_context_that_contradicts_itself_is_not_filled():
    own = {"privileged": True, "allowPrivilegeEscalation": False, "runAsUser": 0, "runAsNonRoot": True}
    spec, decision = _out(cr_spec={"securityContext": own})
    out = spec["containers"][0]["securityContext"]
    assert out == {"privileged": True, "runAsUser": 0}
    assert decision.violations


def test_a_field_that_differs_from_the_own_context_stays_and_is_reported():
    spec, decision = _out({"securityContext": {"runAsUser": 5}}, {"securityContext": {"runAsUser": 6}})
    assert spec["securityContext"] == {"runAsUser": 5}
    assert decision.warnings == (
        "spec.securityContext.runAsUser is 5; vmguard does not change it;"
        " VMSingle mon/db spec.securityContext sets it to 6"
        " [security-context]",
    )


OWN = {"runAsUser": 1000, "runAsNonRoot": True, "privileged": False, "capabilities": {"drop": ["KILL"]}}


def _final(context, cr_spec, name="vmsingle", **metadata):
    """The decision on a final pod under deny; `context` is of its container, "pod" in it that of the pod."""
    of_pod = context.pop("pod", {"runAsUser": 1000, "runAsNonRoot": True})
    containers = [{"name": name, "securityContext": context}]
    asked, objects = vmsingle(cr_spec, {"containers": containers, "securityContext": of_pod}, **metadata)
    return decide(asked, objects, webhook="validate", minor=37, VMGUARD_ENFORCE="deny")


WEAKER = [
    {"privileged": True},
    {"runAsUser": 0, "runAsNonRoot": False},
    {"capabilities": {"drop": ["NET_RAW"]}},
    {"capabilities": {"drop": ["KILL"], "add": ["SYS_ADMIN"]}},
    {"procMount": "Unmasked"},
    {"seccompProfile": {"type": "Unconfined"}},
    {"appArmorProfile": {"type": "Unconfined"}},
    {"seLinuxOptions": {"type": "spc_t"}},
    {"windowsOptions": {"hostProcess": True}},
    {"runAsGroup": 0},
    {"newField": 1},
]


@pytest.mark.parametrize("change", WEAKER, ids=str)
def test_a_weak_value_that_the_resource_with_an_own_context_does_not_set_is_denied(change):
    """Another webhook sets it after vmguard; the resource sets another value or leaves the field unset."""
    decision = _final({**OWN, **change}, {"securityContext": OWN})
    assert not decision.allowed
    assert "/spec/containers/0/securityContext/" in decision.annotations["findings"]


@pytest.mark.parametrize("change", WEAKER, ids=str)
@pytest.mark.parametrize("by", ["own context", "patch"])
def test_every_value_that_the_resource_itself_sets_is_accepted(by, change):
    """It sets the value in its own context, or in a patch over the operator's container."""
    if by == "patch":
        spec = {"securityContext": OWN, "containers": [{"name": "vmsingle", "securityContext": change}]}
    else:
        spec = {"securityContext": {**OWN, **change}}
    assert not _paths(_final({**OWN, **change}, spec))


@pytest.mark.parametrize(
    "change",
    [
        {"allowPrivilegeEscalation": True},
        {"readOnlyRootFilesystem": False},
        {"procMount": "Default"},
        {"capabilities": {"drop": ["KILL", "NET_RAW"]}},
        {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
        {"runAsUser": 2000},
        {"seccompProfile": {"type": "RuntimeDefault"}},
        {"seLinuxOptions": {"level": "s0:c1"}},
        {"windowsOptions": {"hostProcess": False}},
    ],
    ids=str,
)
def test_a_value_that_is_no_weaker_than_what_the_resource_sets_is_accepted(change):
    """One that the table accepts, one that means the same as no value, or one that takes more away."""
    assert _final({**OWN, **change}, {"securityContext": OWN}).allowed


@pytest.mark.parametrize(
    "weak", [{"fsGroup": 0}, {"supplementalGroups": [0]}, {"sysctls": [{"name": "kernel.msgmax"}]}]
)
def test_the_pods_own_context_is_judged_as_its_containers_is(weak):
    of_pod = {"runAsUser": 1000, "runAsNonRoot": True}
    (field,) = weak
    assert _paths(_final({"pod": {**of_pod, **weak}, **OWN}, {"securityContext": OWN})) == [
        f"/spec/securityContext/{field}"
    ]
    assert _final({"pod": {**of_pod, **weak}, **OWN}, {"securityContext": {**OWN, **weak}}).allowed


@pytest.mark.parametrize("by_resource", [True, False])
def test_an_annotation_that_turns_apparmor_off_is_denied_unless_the_resource_sets_it(by_resource):
    annotations = {"container.apparmor.security.beta.kubernetes.io/vmsingle": "unconfined"}
    spec = {"securityContext": OWN, **({"podMetadata": {"annotations": annotations}} if by_resource else {})}
    assert _final(dict(OWN), spec, annotations=annotations).allowed is by_resource


def test_an_empty_own_context_is_not_judged():
    """It opts out, so no value of the pod is anybody's fault."""
    assert _final({"privileged": True, "runAsUser": 0, "runAsNonRoot": False}, {"securityContext": {}}).allowed


def test_a_daemonset_pod_gets_no_user_and_the_container_of_a_collector_neither():
    pod_context = {k: v for k, v in STRICT_POD.items() if not k.startswith("runAs")}
    for kind, root in (("VMAgent", False), ("VLAgent", True)):
        name = kind.lower()
        cr = resource(kind, "a")
        ds = workload("DaemonSet", f"{name}-a", cr)
        asked = pod(ds, {"containers": [{"name": name}]})
        spec = patched(asked, decide(asked, [cr, ds]))["spec"]
        assert spec["securityContext"] == pod_context
        assert ("runAsUser" in spec["containers"][0]["securityContext"]) is not root


@pytest.mark.parametrize(("name", "allowed"), [("vlagent", True), ("side", False)])
def test_a_collector_may_run_as_root_and_a_users_container_beside_it_may_not(name, allowed):
    """With VMGUARD_HARDEN_SIDECARS the user's containers are judged like the operator's."""
    cr = resource("VLAgent", "a", {"k8sCollector": {"enabled": True}, "containers": [{"name": "side"}]})
    ds = workload("DaemonSet", "vlagent-a", cr)
    settings = {"VMGUARD_HARDEN_SIDECARS": "true", "VMGUARD_ENFORCE": "deny"}
    asked = pod(ds, {"containers": [{"name": each} for each in ("vlagent", "side")]})
    for container in asked["spec"]["containers"]:
        container["securityContext"] = {"runAsUser": 0} if container["name"] == name else {}
    done = patched(asked, decide(asked, [cr, ds], VMGUARD_HARDEN_SIDECARS="true"))
    assert decide(done, [cr, ds], webhook="validate", **settings).allowed is allowed


def test_the_resources_own_root_is_not_filled_beside_non_root():
    own = {"securityContext": {"runAsUser": 0}}
    spec, decision = _out({"securityContext": {"runAsNonRoot": True}}, own)
    assert "runAsUser" not in spec["securityContext"]
    assert "/spec/securityContext/runAsUser" in _paths(decision)
    spec, decision = _out(_container({"runAsNonRoot": True}), own)
    assert "runAsUser" not in spec["securityContext"]
    assert "runAsUser" not in spec["containers"][0]["securityContext"]
    assert "runAsNonRoot of container 'vmsingle' is true" in decision.violations[0].why


def test_a_container_keeps_the_non_root_word_that_its_pod_gives_it():
    spec, decision = _out({"securityContext": {"runAsNonRoot": False}})
    assert "runAsNonRoot" not in spec["containers"][0]["securityContext"]
    assert _paths(decision) == ["/spec/securityContext/runAsNonRoot"]


def test_a_container_that_switches_seccomp_off_is_a_violation():
    spec, decision = _out(_container({"seccompProfile": {"type": "Unconfined"}}))
    assert spec["containers"][0]["securityContext"]["seccompProfile"] == {"type": "Unconfined"}
    assert _paths(decision) == ["/spec/containers/0/securityContext/seccompProfile"]
    key = "container.seccomp.security.alpha.kubernetes.io/vmsingle"
    annotated = {"annotations": {key: "unconfined"}}
    assert len(_paths(_out(minor=26, metadata=annotated)[1])) == 1
    assert not _paths(_out(minor=27, metadata=annotated)[1]), "from 1.27 on the annotation does nothing"


def test_a_daemonsets_pod_that_runs_as_root_is_a_violation_though_nothing_is_filled_there():
    cr = resource("VMAgent", "a", {"daemonSetMode": True})
    ds = workload("DaemonSet", "vmagent-a", cr)
    for context in ({"runAsUser": 0}, {"runAsNonRoot": False}):
        decision = decide(pod(ds, {"containers": [{"name": "vmagent"}], "securityContext": context}), [cr, ds])
        (field,) = context
        assert _paths(decision) == [f"/spec/securityContext/{field}"]


def test_the_resources_own_seccomp_does_not_take_the_place_of_the_pods():
    own = {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}
    spec, decision = _out({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}, own)
    assert "seccompProfile" not in spec["containers"][0].get("securityContext", {})
    assert "RuntimeDefault" in decision.warnings[0]
    annotated = {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "localhost/x"}}
    spec, _ = _out(None, own, minor=26, metadata=annotated)
    assert "seccompProfile" not in spec["containers"][0].get("securityContext", {})


def test_a_root_container_that_will_not_start_is_named_and_one_that_says_so_itself_is_warned_of():
    _, decision = _out(_container({"runAsUser": 0}))
    assert "runAsNonRoot of the pod is true, so the kubelet will not start container 'vmsingle'" in str(decision)
    sidecar = {"name": "shipper", "securityContext": {"runAsUser": 0, "runAsNonRoot": False}}
    _, decision = _out({"containers": [{"name": "vmsingle"}, sidecar]})
    assert not decision.violations
    assert decision.warnings[0].startswith("container 'shipper' runs as root though runAsNonRoot of the pod is true")


def test_many_violations_are_listed_in_few_lines():
    containers = [{"name": "vmsingle", "securityContext": {"privileged": True}}] * 500
    _, decision = _out({"containers": containers})
    assert len(decision.violations) == 1000
    assert len(decision.warnings) == 6
    assert decision.warnings[-1] == "and 995 more like these [security-context]"


def test_empty_fields_of_the_resources_own_context_are_not_reported():
    spec, decision = _out(None, {"securityContext": {"runAsUser": [], "supplementalGroups": [], "capabilities": {}}})
    assert not decision.patch
    assert spec["containers"] == [{"name": "vmsingle"}]


def test_a_missing_field_is_reported_for_the_container_and_not_for_a_context_that_has_it():
    spec = {
        "securityContext": {"runAsUser": 0},
        "containers": [{"name": "side", "securityContext": {"runAsNonRoot": True}}],
    }
    (warning,) = warnings_on("VMSingle", spec, "security-context")
    assert warning.startswith(
        "vmsingle: securityContext.runAsUser of the pod is not set, wanted 0: runAsNonRoot of container 'side' is true"
    )
    spec = {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]}
    there, missing = warnings_on("VMSingle", spec, "security-context")
    assert there.startswith("vmsingle: containers[vmsingle].securityContext.privileged is true, wanted false: ")
    assert missing.startswith("vmsingle: securityContext.allowPrivilegeEscalation of container 'vmsingle' is not set, ")


def test_a_sidecar_that_runs_as_root_in_a_pod_that_must_not_is_a_warning():
    spec = {"containers": [{"name": "side", "securityContext": {**PASSES_RESTRICTED, "runAsUser": 0}}]}
    (warning,) = warnings_on("VMSingle", spec, "security-context")
    assert "runAsNonRoot of the pod is true, so the kubelet will not start container 'side'" in warning


@pytest.mark.parametrize("environment", [{}, {"VMGUARD_ENFORCE": "deny"}])
def test_a_resource_may_run_its_pods_as_root(environment):
    """With runAsNonRoot: false beside it, as fixes of other rules have it: vmguard fills both and denies nothing."""
    own = {"runAsUser": 0, "runAsNonRoot": False}
    spec, decision = _out(cr_spec={"securityContext": own}, **environment)
    assert (decision.allowed, decision.violations) == (True, ())
    assert own.items() <= spec["securityContext"].items()
