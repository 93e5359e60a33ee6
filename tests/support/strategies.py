"""Hypothesis strategies for pods, their owners and the resources that they belong to."""

from typing import Any

from hypothesis import strategies as st

from tests.support.sample_pods import pod, resource, workload
from webhook.policy.components import COMPONENTS
from webhook.policy.token_volume import TOKEN_PATH

_NAMES = st.sampled_from(["config-reloader", "config-init", "vmbackuper", "mine", "other"])
_IDS = st.sampled_from([None, 0, 1, 1000, 65534])
_BOOLS = st.sampled_from([None, True, False])
_CAPABILITIES = st.lists(st.sampled_from(["ALL", "all", "NET_RAW", "CAP_SYS_ADMIN", "SYS_ADMIN"]), max_size=3)
_SECCOMP = st.sampled_from([None, {"type": "RuntimeDefault"}, {"type": "Unconfined"}])


def _sparse(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


_CONTEXT = st.none() | _sparse(
    privileged=_BOOLS,
    allowPrivilegeEscalation=_BOOLS,
    readOnlyRootFilesystem=_BOOLS,
    runAsNonRoot=_BOOLS,
    runAsUser=_IDS,
    runAsGroup=_IDS,
    seccompProfile=_SECCOMP,
    appArmorProfile=_SECCOMP,
    procMount=st.sampled_from([None, "Default", "Unmasked"]),
    newField=_BOOLS,
    capabilities=st.none() | _sparse(add=_CAPABILITIES, drop=st.none() | _CAPABILITIES),
)
_POD_CONTEXT = _sparse(
    runAsNonRoot=_BOOLS,
    runAsUser=_IDS,
    runAsGroup=_IDS,
    fsGroup=_IDS,
    seccompProfile=_SECCOMP,
    appArmorProfile=_SECCOMP,
    supplementalGroups=st.sampled_from([[5], [0]]),
    newField=_BOOLS,
)
_VOLUMES = st.sampled_from(["kube-api-access", "kube-api-access-abcde", "kube-api-access-x", "data", "sa-token-1"])
_TOKEN = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
_SOURCES = st.sampled_from([{"projected": _TOKEN}, {"emptyDir": {}}, {"secret": {"secretName": "sa-token-1"}}])
_MOUNTS = st.lists(
    st.builds(lambda n, p: {"name": n, "mountPath": p}, _VOLUMES, st.sampled_from([TOKEN_PATH, "/data", "/x"])),
    max_size=4,
)


def _container(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return _sparse(
        securityContext=_CONTEXT, volumeMounts=st.none() | _MOUNTS, args=st.just(["--config-secret-name=a/b"])
    ).map(lambda rest: {"name": name, **rest})


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]], int, dict[str, str]]:
    """`(pod, objects, minor, environment)`: a managed pod, its owners, a Kubernetes version and vmguard's settings."""
    component = draw(st.sampled_from(COMPONENTS))
    names = [component.main, *draw(st.lists(_NAMES, max_size=3, unique=True))]
    spec = draw(
        _sparse(
            securityContext=_POD_CONTEXT | st.none(),
            automountServiceAccountToken=_BOOLS,
            os=st.just({"name": "windows"}),
            serviceAccountName=st.just("sa"),
        )
    )
    spec["containers"] = [draw(_container(name)) for name in names]
    if draw(st.booleans()):
        spec["initContainers"] = [draw(_container(draw(_NAMES)))]
    names = draw(st.none() | st.lists(_VOLUMES, unique=True, max_size=4))
    if names is not None:
        spec["volumes"] = [{"name": name, **draw(_SOURCES)} for name in names]
    part = draw(
        _sparse(
            securityContext=_CONTEXT | _POD_CONTEXT,
            useStrictSecurity=_BOOLS,
            disableAutomountServiceAccountToken=_BOOLS,
            ingestOnlyMode=_BOOLS,
        )
    )
    cr_spec = part
    for field in reversed(component.path[1:]):
        cr_spec = {field: cr_spec}
    cr = resource(component.kind, "x", cr_spec)
    kind = draw(st.sampled_from(["StatefulSet", "DaemonSet"]))
    owner = workload(kind, f"{component.name}-x", cr)
    environment = draw(
        st.fixed_dictionaries(
            {"VM_ENABLESTRICTSECURITY": st.sampled_from(["true", "false"])},
            optional={
                "VMGUARD_HARDEN_SIDECARS": st.just("true"),
                "VMGUARD_RUN_AS": st.just("platform"),
                "VMGUARD_DISABLE_AUTOMOUNT": st.just("true"),
            },
        )
    )
    return pod(owner, spec), [cr, owner], draw(st.sampled_from([20, 21, 24, 27, 37])), environment


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.text("ab%ZONE", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "spec",
                    "name",
                    "zones",
                    "zoneCommon",
                    "vmauth",
                    "vmsingle",
                    "vmcluster",
                    "vmselect",
                    "requestsLoadBalancer",
                    "enabled",
                    "useStrictSecurity",
                    "securityContext",
                    "capabilities",
                    "add",
                    "drop",
                    "runAsUser",
                    "volumes",
                    "podSecurityPolicyName",
                    "disableAutomountServiceAccountToken",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)
"""A value of any shape, made of fields that the settings of a resource have."""

PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["vmsingle", "data", "/x", "Localhost", "ALL", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "args",
                    "command",
                    "image",
                    "volumeMounts",
                    "mountPath",
                    "securityContext",
                    "seccompProfile",
                    "type",
                    "localhostProfile",
                    "capabilities",
                    "add",
                    "runAsUser",
                    "runAsNonRoot",
                    "hostPath",
                    "emptyDir",
                    "storageDataPath",
                    "annotations",
                    "enabled",
                    "projected",
                    "sources",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)
"""A value of any shape, made of fields that a resource gives its pods."""
