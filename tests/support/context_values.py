"""Values of every field of a security context, with the result of vmguard and of the API server for each.

`meaning` is vmguard's result: strict, accepted, weak or unknown; it denies the last two. `api` is the result of the API
server of Kubernetes 1.37, before vmguard judges the pod. It takes the value, finds it invalid (422), cannot decode it
(400), or drops an unknown field.
"""

from typing import Any, Literal, NamedTuple

from webhook.policy.context_fields import BOTH, CONTAINER, POD, ContextLevels

PATHS = {
    "pod": "/spec/securityContext",
    "container": "/spec/containers/0/securityContext",
    "init container": "/spec/initContainers/0/securityContext",
}
"""The places of a context in the pods of `pod_spec`."""


class Trial(NamedTuple):
    """A value of one field at one place; `spec` is what else the pod's spec needs, so that the API server takes it."""

    place: str
    field: str
    meaning: Literal["strict", "accepted", "weak", "unknown"]
    value: Any
    api: Literal["takes", "invalid", "undecodable", "drops"] = "takes"
    spec: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def denied(self) -> bool:
        return self.meaning in {"weak", "unknown"}

    @property
    def path(self) -> str:
        return f"{PATHS[self.place]}/{self.field}"

    def __str__(self) -> str:
        return f"{self.place} {self.field} {self.meaning} {self.value} {self.api}"


RUNTIME, LOCAL = {"type": "RuntimeDefault"}, {"type": "Localhost", "localhostProfile": "x"}
PROFILES: dict[str, list[Any]] = {
    "accepted": [LOCAL],
    "weak": [{"type": "Unconfined"}],
    "unknown": [({"type": "Other"}, "invalid"), ({**RUNTIME, "newMember": 1}, "drops")],
}
YES: dict[str, list[Any]] = {"strict": [True], "weak": [False], "unknown": [("maybe", "undecodable")]}
NO: dict[str, list[Any]] = {"strict": [False], "weak": [True], "unknown": [("maybe", "undecodable")]}
ID: dict[str, list[Any]] = {
    "strict": [65534],
    "accepted": [1000],
    "weak": [0],
    "unknown": [(-1, "invalid"), ("x", "undecodable")],
}
OTHER = ("Other", "invalid")

VALUES: dict[tuple[str, ContextLevels], dict[str, list[Any]]] = {
    ("privileged", CONTAINER): NO,
    ("allowPrivilegeEscalation", CONTAINER): NO,
    ("readOnlyRootFilesystem", CONTAINER): YES,
    ("capabilities/drop", CONTAINER): {
        "strict": [["ALL"]],
        "accepted": [["ALL", "NET_RAW"]],
        "weak": [["NET_RAW"]],
        "unknown": [["all"]],
    },
    ("capabilities/add", CONTAINER): {
        "accepted": [["NET_BIND_SERVICE"]],
        "weak": [["CAP_SYS_ADMIN"], ["SYS_ADMIN"], ["NET_BIND_SERVICE", "CHOWN"]],
        "unknown": [["NO_SUCH_CAPABILITY"]],
    },
    ("runAsNonRoot", BOTH): YES,
    ("runAsUser", BOTH): ID,
    ("runAsGroup", BOTH): ID,
    ("fsGroup", POD): ID,
    ("fsGroupChangePolicy", POD): {"strict": ["OnRootMismatch"], "accepted": ["Always"], "unknown": [OTHER]},
    ("supplementalGroups", POD): {"accepted": [[5, 65534]], "weak": [[5, 0]], "unknown": [([-1], "invalid")]},
    ("supplementalGroupsPolicy", POD): {"accepted": ["Merge", "Strict"], "unknown": [OTHER]},
    ("seccompProfile", BOTH): {"strict": [RUNTIME], **PROFILES},
    ("appArmorProfile", BOTH): {**PROFILES, "accepted": [RUNTIME, LOCAL]},
    ("seLinuxOptions", BOTH): {
        "accepted": [{"level": "s0:c1,c2"}, {"type": "container_t"}],
        "weak": [{"type": "spc_t"}, {"user": "system_u"}, {"role": "system_r"}],
        "unknown": [{"type": "no_such_t"}, ({"newMember": "x"}, "drops")],
    },
    ("seLinuxChangePolicy", POD): {"accepted": ["MountOption", "Recursive"], "unknown": [OTHER]},
    ("procMount", CONTAINER): {
        "accepted": ["Default"],
        "weak": [("Unmasked", "takes", {"hostUsers": False}), ("Unmasked", "invalid")],
        "unknown": [OTHER],
    },
    ("sysctls", POD): {
        "accepted": [[{"name": "net.ipv4.tcp_syncookies", "value": "1"}]],
        "weak": [[{"name": "kernel.msgmax", "value": "1"}]],
        "unknown": [[{"name": "net.example.new", "value": "1"}]],
    },
    ("windowsOptions", BOTH): {
        "accepted": [{"runAsUserName": "ContainerUser", "hostProcess": False}],
        "weak": [({"hostProcess": True}, "invalid"), {"runAsUserName": "ContainerAdministrator"}],
        "unknown": [({"newMember": "x"}, "drops")],
    },
    ("newField", BOTH): {"unknown": [({"on": True}, "drops")]},
}
"""By field and levels, and by meaning: values, each alone or with what the API server makes of it and a `spec`."""


def trials() -> list[Trial]:
    """Every value at every place: a container's field on a container and on an init container."""
    places = {"pod": ("pod",), "container": ("container", "init container")}
    return [
        Trial(place, field, meaning, *(value if isinstance(value, tuple) else (value,)))  # type: ignore[arg-type]
        for (field, levels), meanings in VALUES.items()
        for level in levels
        for place in places[level]
        for meaning, values in meanings.items()
        for value in values
    ]


def pod_spec(trial: Trial) -> dict[str, Any]:
    """A spec with the operator's containers of a VMSingle and that one value."""
    parent, _, member = trial.field.partition("/")
    context = {parent: {member: trial.value} if member else trial.value}
    contexts = {place: {"securityContext": context if place == trial.place else {}} for place in PATHS}
    return {
        **trial.spec,
        **contexts["pod"],
        "containers": [{"name": "vmsingle", "image": "x", **contexts["container"]}],
        "initContainers": [{"name": "config-init", "image": "x", **contexts["init container"]}],
    }
