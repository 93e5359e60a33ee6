"""vmguard denies a resource exactly where a real API server refuses its pod.

One exception: the API server takes a pod with runAsUser 0 and runAsNonRoot, and the kubelet does not start it.
"""

import copy
import itertools

import pytest

from tests.controlplane.api import ApiError
from tests.support.sample_pods import STRICT, decide, resource, settings
from webhook.facts import Ref
from webhook.policy.preview import PodsOfResource
from webhook.policy.preview.operator_contexts import spec_of_any_operator

_COUNT = itertools.count(1)


@pytest.fixture(scope="module")
def namespace_124(plane_124):
    """A namespace of Kubernetes 1.24; only dry runs are made in it."""
    return plane_124.namespace(f"validity-{next(_COUNT)}")


NON_ROOT = {"runAsNonRoot": True, "runAsUser": 0}
LOCAL = {"type": "Localhost", "localhostProfile": "profiles/x.json"}


def _seccomp(**profile):
    return {"seccompProfile": profile}


def _app_armor(**profile):
    return {"appArmorProfile": profile}


def _sysctls(*names):
    return {"sysctls": [{"name": name, "value": "1"} for name in names]}


def _windows(**options):
    return {"windowsOptions": options}


CONTEXTS = [
    {},
    {"privileged": True},
    {"privileged": True, "allowPrivilegeEscalation": False},
    {"privileged": True, "allowPrivilegeEscalation": True},
    {"privileged": False, "allowPrivilegeEscalation": False},
    {"allowPrivilegeEscalation": False, "capabilities": {"add": ["CAP_SYS_ADMIN"]}},
    {"allowPrivilegeEscalation": False, "capabilities": {"add": ["SYS_ADMIN"]}},
    {"allowPrivilegeEscalation": False, "capabilities": {"add": ["ALL"]}},
    {"allowPrivilegeEscalation": True, "capabilities": {"add": ["CAP_SYS_ADMIN"]}},
    {"runAsNonRoot": False, "runAsUser": 0},
    {"runAsUser": -1},
    {"runAsUser": 2147483647},
    {"runAsUser": 2147483648},
    {"runAsGroup": -1},
    {"runAsGroup": 2147483648},
    {"fsGroup": -1},
    {"fsGroup": 2147483648},
    {"supplementalGroups": [1, 2147483647]},
    {"supplementalGroups": [1, -1]},
    _seccomp(type="RuntimeDefault"),
    _seccomp(type="Unconfined"),
    _seccomp(**LOCAL),
    _seccomp(type="Localhost"),
    _seccomp(type="Localhost", localhostProfile=""),
    _seccomp(type="Localhost", localhostProfile="/abs"),
    _seccomp(type="Localhost", localhostProfile="../up"),
    _seccomp(type="Localhost", localhostProfile="a/../b"),
    _seccomp(type="Localhost", localhostProfile="a..b"),
    _seccomp(type="RuntimeDefault", localhostProfile="x"),
    _seccomp(type="RuntimeDefault", localhostProfile=""),
    _seccomp(type="Unconfined", localhostProfile="x"),
    _seccomp(type="runtimedefault"),
    _seccomp(type=""),
    _seccomp(),
    _seccomp(localhostProfile="x"),
    _app_armor(type="RuntimeDefault"),
    _app_armor(type="Localhost", localhostProfile="x"),
    _app_armor(type="Localhost"),
    _app_armor(type="Localhost", localhostProfile=""),
    _app_armor(type="Localhost", localhostProfile=" x"),
    _app_armor(type="Localhost", localhostProfile="x" * 4096),
    _app_armor(type="Localhost", localhostProfile="x" * 4095),
    _app_armor(type="RuntimeDefault", localhostProfile="x"),
    _app_armor(type="Other"),
    _app_armor(),
    {"fsGroupChangePolicy": "Never"},
    {"fsGroupChangePolicy": "Always"},
    {"fsGroupChangePolicy": ""},
    {"supplementalGroupsPolicy": "Other"},
    {"supplementalGroupsPolicy": "Strict"},
    {"seLinuxChangePolicy": "Other"},
    {"seLinuxChangePolicy": "MountOption"},
    {"procMount": "Other"},
    {"procMount": "Default"},
    {"procMount": ""},
    _sysctls("net.ipv4.tcp_syncookies", "kernel/shm_rmid_forced", "net.ipv4.conf.eth0/100.forwarding"),
    _sysctls("NOT VALID"),
    _sysctls(""),
    _sysctls("a..b"),
    _sysctls("-a"),
    _sysctls("a\n"),
    _sysctls("a" * 253),
    _sysctls("a" * 254),
    _sysctls("a.b", "a.b"),
    _sysctls("a.b", "a/b"),
    _windows(runAsUserName=""),
    _windows(runAsUserName="ContainerUser"),
    _windows(runAsUserName="domain\\user"),
    _windows(runAsUserName="domain\\"),
    _windows(runAsUserName="a\\b\\c"),
    _windows(runAsUserName="a\u0007"),
    _windows(runAsUserName="a\n"),
    _windows(runAsUserName=". ."),
    _windows(runAsUserName="a;b"),
    _windows(runAsUserName="u" * 104),
    _windows(runAsUserName="u" * 105),
    _windows(gmsaCredentialSpec=""),
    _windows(gmsaCredentialSpec="x"),
    _windows(gmsaCredentialSpec="x" * 65537),
    _windows(gmsaCredentialSpecName=""),
    _windows(gmsaCredentialSpecName="Not_valid"),
    _windows(gmsaCredentialSpecName="valid.name"),
    _windows(hostProcess=True),
    _windows(hostProcess=False),
]
"""A resource's own security context."""

OF_PODS = {
    "fsGroup",
    "supplementalGroups",
    "fsGroupChangePolicy",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
    "sysctls",
}
CONTAINERS = [context for context in CONTEXTS if not context.keys() & OF_PODS]
"""One of a container of the user, or of a patch over an operator's."""


def _pod(custom):
    """The predicted pod of a resource, as its own security context and the user's containers make it."""
    ref = Ref("", "", "VMSingle", "mon", "db")
    (predicted,) = PodsOfResource(ref, custom["spec"]).predicted(settings())
    pod = copy.deepcopy(predicted.pod)
    spec = spec_of_any_operator(predicted)
    pod["metadata"]["name"] = "predicted"
    pod["spec"]["volumes"] = []
    pod["spec"]["securityContext"] = spec.get("securityContext", {})
    for group in ("containers", "initContainers"):
        for container, made in zip(pod["spec"][group], spec[group], strict=True):
            container |= {"image": "x", "volumeMounts": [], "securityContext": made["securityContext"]}
    return pod


def _refused(plane, namespace, pod):
    """Why the API server refuses a pod, "" when it does not; a 400 is a type that it cannot decode."""
    try:
        plane.api.create(pod, namespace, dryRun="All")
    except ApiError as error:
        status, why = error.status, str(error)
    else:
        return ""
    assert status == 422, why
    return why


def _denied(custom, minor=37):
    decision = decide(custom, [], webhook="validate", minor=minor)
    return decision.message


@pytest.mark.parametrize("context", CONTEXTS, ids=str)
def test_a_resources_own_context_is_denied_where_its_pod_is_refused(plane, namespace, context):
    custom = resource("VMSingle", spec={"securityContext": context})
    denied, refused = _denied(custom), _refused(plane, namespace, _pod(custom))
    assert bool(denied) == bool(refused), (denied, refused)
    assert not denied or denied.startswith("VMSingle mon/db spec.securityContext has ")


@pytest.mark.parametrize("context", CONTEXTS, ids=str)
def test_nothing_is_denied_that_kubernetes_1_24_takes(plane_124, namespace_124, context):
    for spec in ({"securityContext": context}, {"containers": [{"name": "side", "securityContext": context}]}):
        custom = resource("VMSingle", spec=spec)
        denied, refused = _denied(custom, 24), _refused(plane_124, namespace_124, _pod(custom))
        assert refused or not denied, denied


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize("of_container", [True, False, None])
@pytest.mark.parametrize("of_pod", [True, False, None])
def test_a_windows_host_process_needs_all_containers_and_host_network(plane, namespace, of_pod, of_container, network):
    said = ({} if each is None else _windows(hostProcess=each) for each in (of_pod, of_container))
    own, context = said
    side = {"name": "side", "image": "x", "securityContext": context}
    custom = resource("VMSingle", spec={"hostNetwork": network, "securityContext": own, "containers": [side]})
    denied, refused = _denied(custom), _refused(plane, namespace, _pod(custom))
    assert bool(denied) == bool(refused), (denied, refused)


@pytest.mark.parametrize("group", ["containers", "initContainers"])
@pytest.mark.parametrize("context", CONTAINERS, ids=str)
def test_a_users_container_is_denied_where_its_pod_is_refused(plane, namespace, context, group):
    custom = resource("VMSingle", spec={group: [{"name": "side", "image": "x", "securityContext": context}]})
    denied, refused = _denied(custom), _refused(plane, namespace, _pod(custom))
    assert bool(denied) == bool(refused), (denied, refused)
    assert not denied or denied.startswith(f"VMSingle mon/db spec.{group}[side].securityContext has ")


@pytest.mark.parametrize("context", CONTAINERS, ids=str)
@pytest.mark.parametrize("own", [{"privileged": True}, {"allowPrivilegeEscalation": False}, None], ids=str)
def test_a_patch_over_an_operators_container_counts_with_the_resources_own_context(plane, namespace, context, own):
    spec = {"containers": [{"name": "vmsingle", "securityContext": context}]}
    custom = resource("VMSingle", spec={**spec, **({"securityContext": own} if own else {})})
    denied, refused = _denied(custom), _refused(plane, namespace, _pod(custom))
    assert bool(denied) == bool(refused), (denied, refused)


@pytest.mark.parametrize("context", CONTAINERS, ids=str)
def test_a_patch_over_an_operators_container_counts_with_strict_security_of_the_resource(plane, namespace, context):
    patch = {"containers": [{"name": "vmsingle", "securityContext": context}]}
    custom = resource("VMSingle", spec={"useStrictSecurity": True, **patch})
    pod = _pod(custom)
    (container,) = pod["spec"]["containers"]
    container["securityContext"] = {**STRICT, **context}
    denied, refused = _denied(custom), _refused(plane, namespace, pod)
    assert bool(denied) == bool(refused), (denied, refused)


@pytest.mark.parametrize(
    ("spec", "denied"),
    [
        ({"securityContext": NON_ROOT}, True),
        (
            {"securityContext": NON_ROOT, "containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 1}}]},
            False,
        ),
        ({"containers": [{"name": "side", "securityContext": NON_ROOT}]}, True),
        ({"containers": [{"name": "side", "securityContext": {"runAsUser": 0}}]}, False),
        ({"securityContext": {"runAsUser": 0}}, False),
    ],
)
def test_root_that_must_not_be_root_is_denied_though_the_api_server_takes_the_pod(plane, namespace, spec, denied):
    custom = resource("VMSingle", spec=spec)
    assert not _refused(plane, namespace, _pod(custom))
    assert bool(_denied(custom)) == denied
