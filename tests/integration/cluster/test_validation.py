"""kubectl shows vmguard's warnings about resources and ephemeral containers, and its denials."""

import json
import re

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.fixtures import needs
from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, weak_pod

GROUP = "operator.victoriametrics.com"
IMPOSSIBLE = {"privileged": True, "allowPrivilegeEscalation": False}
DENIED = "spec.securityContext has allowPrivilegeEscalation: false, privileged: true"


def single(spec, **metadata):
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "VMSingle",
        "metadata": {"name": "db", **metadata},
        "spec": spec,
    }


@pytest.fixture
def guarding(guard):
    return guard(**STRICT_SECURITY)


@pytest.fixture
def guarded(guarding):
    return guarding.namespace()


def apply(plane, namespace, thing):
    return plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(thing))


@pytest.fixture
def faulty(plane, guarding):
    """The namespace of a resource with a fault, which was there before vmguard was."""
    name = plane.namespace(f"faulty-{guarding.namespace()}")
    plane.api.create(single({"securityContext": IMPOSSIBLE}, finalizers=["example.com/kept"]), name)
    plane.api.patch("v1", "Namespace", name, {"metadata": {"labels": {"vmguard-test": guarding.label}}})

    def asked():
        try:
            plane.api.create(single({"securityContext": IMPOSSIBLE}, name="probe"), name, dryRun="All")
        except ApiError:
            return True
        return False

    wait_for(asked, "the API server to have learnt the namespace's new label")
    return name


def test_kubectl_apply_shows_what_will_surprise(plane, guarded):
    sidecar = {"name": "side", "image": "busybox"}
    done = apply(plane, guarded, single({"extraArgs": {"storageDataPath": "/else"}, "containers": [sidecar]}))
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert [line.rpartition(" ")[2] for line in said] == ["[pod-security]", "[sidecar]", "[read-only-root]"]
    assert "Pod Security level baseline" in said[0]
    assert "container 'vmsingle' writes to /else (storageDataPath)" in said[2]


def test_kubectl_apply_shows_every_line_whole(plane, guarded):
    def part(name):
        side = [{"name": f"{name}-{n}", "image": "x", "securityContext": {"runAsUser": 0}} for n in range(4)]
        volumes = [{"name": f"{name}-{n}", "nfs": {"server": "s", "path": "/"}} for n in range(4)]
        mounts = [{"name": f"{name}-{n}", "mountPath": f"/{n}"} for n in range(4)]
        return {"containers": side, "volumes": volumes, "volumeMounts": mounts}

    spec = {name: part(name) for name in ("vmselect", "vminsert", "vmstorage")}
    done = apply(plane, guarded, {**single(spec), "kind": "VMCluster"})
    assert done.returncode == 0, done.stderr
    said = [line.removeprefix("Warning: ") for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert len(said) > 10
    assert [line for line in said if not line.endswith("]")] == []
    assert re.fullmatch(r"and \d+ warnings more \[workload\]", said[-1])


def test_kubectl_apply_of_a_resource_with_an_invalid_security_context_is_denied(plane, guarded):
    done = apply(plane, guarded, single({"securityContext": IMPOSSIBLE}))
    assert done.returncode != 0
    assert DENIED in done.stderr
    assert plane.api.find(f"{GROUP}/v1beta1", "VMSingle", "db", guarded) is None


def test_an_update_that_does_not_touch_the_fault_passes_and_one_that_brings_it_does_not(plane, faulty):
    changed = {"spec": {"retentionPeriod": "2", "securityContext": {**IMPOSSIBLE, "runAsUser": 1000}}}
    plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "db", changed, faulty)
    (warning,) = (each for each in plane.api.warnings if each.endswith("[pod-validity]"))
    assert warning.startswith("it was so before: ")
    worse = {"spec": {"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}}
    with pytest.raises(ApiError, match="runAsNonRoot: true, runAsUser: 0"):
        plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "db", worse, faulty)
    mended = {"spec": {"securityContext": {"allowPrivilegeEscalation": None}}}
    plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "db", mended, faulty)
    assert not [each for each in plane.api.warnings if each.endswith("[pod-validity]")]
    again = {"spec": {"securityContext": IMPOSSIBLE}}
    with pytest.raises(ApiError, match=DENIED):
        plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "db", again, faulty)


def test_deletion_and_finalizers_pass_with_the_fault(plane, faulty):
    plane.api.delete(f"{GROUP}/v1beta1", "VMSingle", "db", faulty)
    assert plane.api.get(f"{GROUP}/v1beta1", "VMSingle", "db", faulty)["metadata"]["deletionTimestamp"]
    last = {"metadata": {"finalizers": None}, "spec": {"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}}
    plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", "db", last, faulty)
    assert plane.api.find(f"{GROUP}/v1beta1", "VMSingle", "db", faulty) is None


def test_strict_security_over_an_existing_claim_is_a_warning(plane, guarded):
    claim = {"storage": {"resources": {"requests": {"storage": "1Gi"}}}}
    apply(plane, guarded, single({**claim, "useStrictSecurity": False}))
    turned = apply(plane, guarded, single({**claim, "useStrictSecurity": True}))
    assert "claim data was written as root, pods will run as 65534" in turned.stderr
    assert "was written as" not in apply(plane, guarded, single({**claim, "useStrictSecurity": True})).stderr


def test_kubectl_debug_gets_warnings_and_is_never_denied(plane, guard):
    guarding = guard(VMGUARD_ENFORCE="deny", **STRICT_SECURITY)
    namespace = guarding.namespace()
    name = recreate(VMSINGLE, plane.api, namespace).pod()["metadata"]["name"]
    needs(plane, 30, "kubectl debug --profile=sysadmin")
    done = plane.kubectl("debug", name, "-n", namespace, "--image=busybox", "-c", "night", "--profile=sysadmin")
    assert done.returncode == 0, done.stderr
    assert "Warning: ephemeral container 'night' does not pass Pod Security restricted: privileged" in done.stderr
    (container,) = plane.api.get("v1", "Pod", name, namespace)["spec"]["ephemeralContainers"]
    assert container["securityContext"] == {"privileged": True}
    last = guarding.decisions(namespace)[-1]
    assert (last["webhook"], last["outcome"]) == ("validate", "warned")
    assert "ephemeral container 'night'" in last["decision"]
    more = plane.kubectl("debug", name, "-n", namespace, "--image=busybox", "-c", "more", "--profile=restricted")
    assert more.returncode == 0, more.stderr
    assert "night" not in more.stderr
    assert "Warning" not in more.stderr


@pytest.mark.parametrize(
    ("enforce", "label", "told"),
    [
        ("off", None, "nothing"),
        ("off", "warn", "warned"),
        ("off", "deny", "denied"),
        ("warn", None, "warned"),
        ("warn", "off", "warned"),
        ("warn", "deny", "denied"),
        ("deny", "warn", "denied"),
    ],
)
def test_the_namespace_may_tighten_what_is_enforced_and_never_loosen_it(plane, guard, enforce, label, told):
    guarding = guard(VMGUARD_ENFORCE=enforce, final_pods=True, **STRICT_SECURITY)
    namespace = guarding.namespace(**({"vmguard/enforce": label} if label else {}))
    pod = weak_pod(plane, namespace)
    if told == "denied":
        with pytest.raises(ApiError, match="not compliant"):
            plane.api.create(pod, namespace, dryRun="All")
    else:
        plane.api.create(pod, namespace, dryRun="All")
        assert any("not compliant" in each for each in plane.api.warnings) == (told == "warned")
    entries = [entry for entry in guarding.findings(namespace, "weak") if entry["path"].endswith("/privileged")]
    path = "/spec/containers/0/securityContext/privileged"
    assert entries == [{"rule": "security-context", "path": path, "wanted": False, "found": True}]
