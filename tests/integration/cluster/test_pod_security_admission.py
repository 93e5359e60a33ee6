"""vmguard gives the same reasons for the same pods as the PodSecurity admission of a real API server.

The pods are all recorded ones, hundreds that break one check in one place, and some that break several checks. They are
compared at every version of the standard that changed a check.
"""

import copy
import itertools
import random

import pytest

from tests.controlplane.api import ApiError
from tests.controlplane.stand_in_operator import portable
from tests.support.golden import CASES
from webhook.podsecurity import Level, evaluate
from webhook.podsecurity.check import OLDEST
from webhook.podsecurity.registry import CHECKS

LATEST = 37
MINORS = sorted({OLDEST, LATEST, *(m for check in CHECKS for m, _ in check.versions)})
WARN = "pod-security.kubernetes.io/warn"

_COUNT = itertools.count(1)

GOOD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "asked", "annotations": {}},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [],
        "containers": [],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}
for _group, _names in {"initContainers": ("init",), "containers": ("app", "side")}.items():
    GOOD["spec"][_group] = [  # type: ignore[index]
        {
            "name": name,
            "image": "x",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        for name in _names
    ]

ANYWHERE = [
    {"runAsNonRoot": False},
    {"runAsNonRoot": None},
    {"runAsUser": 0},
    {"runAsUser": 1},
    {"seccompProfile": None},
    {"seccompProfile": {"type": "Unconfined"}},
    {"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}},
    {"appArmorProfile": {"type": "Unconfined"}},
    {"appArmorProfile": {"type": "RuntimeDefault"}},
    {"seLinuxOptions": {"type": "spc_t"}},
    {"seLinuxOptions": {"type": "container_engine_t"}},
    {"seLinuxOptions": {"user": "u", "role": "r"}},
    {"seLinuxOptions": {"level": "s0:c1,c2"}},
    {"windowsOptions": {"hostProcess": True}},
]
"""Fields of a pod's or a container's security context; null takes one away."""

OF_CONTAINERS = [
    *ANYWHERE,
    {"privileged": True, "allowPrivilegeEscalation": None},
    {"allowPrivilegeEscalation": None},
    {"allowPrivilegeEscalation": True},
    {"capabilities": None},
    {"capabilities": {"drop": ["NET_RAW"]}},
    {"capabilities": {"drop": ["all"]}},
    {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
    {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}},
    {"capabilities": {"drop": ["ALL"], "add": ["SYS_TIME", "BPF", "CHOWN"]}},
    {"procMount": "Unmasked"},
    {"procMount": "Default"},
]

FIELDS = [
    {"ports": [{"containerPort": 80, "hostPort": 80}]},
    {"ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 8081}]},
    {"livenessProbe": {"httpGet": {"host": "h.example", "port": 80}}},
    {"readinessProbe": {"tcpSocket": {"host": "127.0.0.1", "port": 80}}},
    {"lifecycle": {"preStop": {"httpGet": {"host": "b.example", "port": 80}}}},
    {"livenessProbe": {"httpGet": {"port": 80}}},
]
"""Other fields of a container."""

VOLUMES = [
    {"hostPath": {"path": "/"}},
    {"nfs": {"server": "a", "path": "/"}},
    {"iscsi": {"targetPortal": "1.2.3.4", "iqn": "iqn.2001-04.com.example:a", "lun": 0}},
    {"cephfs": {"monitors": ["a"]}},
    {"rbd": {"monitors": ["a"], "image": "i"}},
    {"flexVolume": {"driver": "a/b"}},
    {"fc": {"targetWWNs": ["a"], "lun": 0}},
    {"azureFile": {"secretName": "a", "shareName": "b"}},
    {"azureDisk": {"diskName": "a", "diskURI": "https://blob/"}},
    {"awsElasticBlockStore": {"volumeID": "a"}},
    {"gcePersistentDisk": {"pdName": "a"}},
    {"cinder": {"volumeID": "a"}},
    {"glusterfs": {"endpoints": "a", "path": "b"}},
    {"portworxVolume": {"volumeID": "a"}},
    {"vsphereVolume": {"volumePath": "a"}},
    {"scaleIO": {"gateway": "a", "system": "b", "volumeName": "c", "secretRef": {"name": "s"}}},
    {"secret": {"secretName": "a"}},
    {"configMap": {"name": "a"}},
    {"persistentVolumeClaim": {"claimName": "a"}},
    {"csi": {"driver": "a"}},
    {"image": {"reference": "a"}},
    {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    {},
]

SYSCTLS = [
    "kernel.shm_rmid_forced",
    "kernel.msgmax",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_notsent_lowat",
    "net.core.somaxconn",
]

_ARMOR = "container.apparmor.security.beta.kubernetes.io"


def _context(holder, change):
    context = holder.setdefault("securityContext", {})
    for field, value in change.items():
        context.pop(field, None) if value is None else context.update({field: copy.deepcopy(value)})


def _everyone(spec):
    return [*spec["initContainers"], *spec["containers"]]


def _edits():
    """Each a way to change a pod at one place, or in all its containers."""
    edits = [lambda pod: None]
    edits += [lambda pod, c=change: _context(pod["spec"], c) for change in ANYWHERE]
    for change in OF_CONTAINERS:
        edits += [lambda pod, c=change, i=i: _context(_everyone(pod["spec"])[i], c) for i in range(2)]
        edits.append(lambda pod, c=change: [_context(each, c) for each in _everyone(pod["spec"])])
    for change in FIELDS:
        edits += [lambda pod, c=change, i=i: _everyone(pod["spec"])[i].update(copy.deepcopy(c)) for i in (1, 2)]
    edits += [
        lambda pod, v=volume, i=i: pod["spec"]["volumes"].append({"name": f"v{i}", **v})
        for i, volume in enumerate(VOLUMES)
    ]
    edits += [
        lambda pod, n=name: pod["spec"]["securityContext"].setdefault("sysctls", []).append({"name": n, "value": "1"})
        for name in SYSCTLS
    ]
    for change in (
        {"hostNetwork": True},
        {"hostPID": True},
        {"hostIPC": True},
        {"hostUsers": False},
        {"hostUsers": True},
        {"os": {"name": "linux"}},
    ):
        edits.append(lambda pod, c=change: pod["spec"].update(c))
    edits += [
        lambda pod, v=value: pod["metadata"]["annotations"].update({f"{_ARMOR}/app": v})
        for value in ("unconfined", "runtime/default", "localhost/x")
    ]
    return edits


EDITS = _edits()


def _edited(edits):
    pod = copy.deepcopy(GOOD)
    for edit in edits:
        edit(pod)
    return pod


def _recorded():
    for case in CASES:
        pod = portable(case.request["object"], {})
        pod["metadata"] = {"name": "asked", "annotations": pod["metadata"].get("annotations", {})}
        for field in ("serviceAccountName", "serviceAccount", "nodeName", "priority"):
            pod["spec"].pop(field, None)
        yield pod


SINGLE = [_edited([edit]) for edit in EDITS]
_DICE = random.Random(7)  # noqa: S311 - the same pods in every run
SEVERAL = [_edited(_DICE.sample(EDITS, _DICE.randint(2, 5))) for _ in range(300)]


@pytest.fixture(scope="module")
def namespaces(plane):
    """A namespace for each level and version that warns, by both."""
    made, turn = {}, next(_COUNT)
    for level in ("baseline", "restricted"):
        for minor in MINORS:
            labels = {WARN: level, f"{WARN}-version": f"v1.{minor}"}
            made[level, minor] = plane.namespace(f"warns-{turn}-{level}-{minor}", labels)
    return made


def _warned(plane, namespace, pod):
    """The API server's reasons, "" for none, with the pod that it judged; None of a pod that no server takes."""
    try:
        judged = plane.api.create(pod, namespace, dryRun="All")
    except ApiError as error:
        assert error.status == 422, error  # noqa: PT017 - what is invalid is nothing to compare
        return None
    said = [each for each in plane.api.warnings if each.startswith("would violate PodSecurity")]
    return said[0].partition('": ')[2] if said else "", judged


def _compare(plane, namespaces, pods, minor):
    """How many pods were compared; each is, with both levels."""
    compared = 0
    for pod in pods:
        answer = _warned(plane, namespaces["restricted", minor], pod)
        if answer is None:
            continue
        compared += 1
        said, judged = answer
        verdict = evaluate(judged, minor)
        assert ", ".join(map(str, verdict.reasons)) == said, pod
        if not pod["metadata"]["annotations"]:  # from an annotation of AppArmor the API server makes a field
            assert evaluate(pod, minor) == verdict
        below, _ = _warned(plane, namespaces["baseline", minor], pod)
        assert (verdict.level == Level.PRIVILEGED) == bool(below), pod
        assert (verdict.level == Level.RESTRICTED) == (not said), pod
    return compared


@pytest.mark.parametrize("minor", MINORS)
def test_a_pod_that_breaks_one_check_has_the_api_servers_reasons(plane, namespaces, minor):
    assert _compare(plane, namespaces, SINGLE, minor) > 0.9 * len(SINGLE)


def test_a_pod_that_breaks_several_checks_has_the_api_servers_reasons(plane, namespaces):
    assert _compare(plane, namespaces, SEVERAL, LATEST) > 0.7 * len(SEVERAL)


def test_recorded_pods_have_the_api_servers_reasons(plane, namespaces):
    pods = list(_recorded())
    assert _compare(plane, namespaces, pods, LATEST) == len(pods)
