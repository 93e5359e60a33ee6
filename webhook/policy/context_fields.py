"""The fields of a pod's and a container's security context, one row each: everything that needs them reads this table.

A row holds the value that strict security fills in, which other values are accepted, and where the field applies. A
value that is neither the strict one nor an accepted one is a violation. So is a field that has no row. A row without a
strict value says why a context without the field is safe (`LeftAlone`).

Source: PodSecurityContext and SecurityContext of Kubernetes 1.20 to 1.37, Pod Security level `restricted`, and the pods
that operators v0.54 and v0.74 make with strict security.
"""

from typing import Any, Literal

import msgspec

from webhook.podsecurity import app_armor
from webhook.policy import accepted_values as accept
from webhook.policy.accepted_values import NOTHING_ELSE, Accepted
from webhook.policy.conditions import EACH

Schema = str | dict[str, Any]
"""A JSON type, the fields of an object with their schemas, or with EACH the schema of an array's elements."""

ContextLevel = Literal["pod", "container"]
ContextLevels = tuple[ContextLevel, ...]

POD: ContextLevels = ("pod",)
CONTAINER: ContextLevels = ("container",)
BOTH: ContextLevels = ("pod", "container")

NOBODY = 65534
"""The user and group `nobody`, which the images of VictoriaMetrics run as."""


class LeftAlone(msgspec.Struct, frozen=True):
    """Strict security fills nothing; `because` says why a context without the field is safe."""

    because: str


class Annotation(msgspec.Struct, frozen=True):
    """The place of a field before it existed: the annotation's key for a pod ("" for none), its prefix for a container.

    `until` is the first Kubernetes 1.x minor version that ignores it, 0 if none does.
    """

    pod: str
    container: str
    accepted: Accepted
    until: int = 0

    def find(self, annotations: dict[str, str | None], container: str | None, minor: int) -> tuple[str, str] | None:
        """The key and the value for a container by name, or for the pod (None); None if it has no effect."""
        key = self.pod if container is None else f"{self.container}{container}"
        value = annotations.get(key) if key and (minor < self.until or not self.until) else None
        return (key, value) if value else None


class ContextField(msgspec.Struct, frozen=True):
    """One field, at one level or both. `capabilities/drop` is the member `drop` of the field `capabilities`.

    A container without a field of both levels takes the pod's value.

    strict      the value that strict security fills in, or LeftAlone
    accepted    other values that are no violation
    danger      why any further value is a violation
    since       the Kubernetes 1.x minor version that brought the field; an older API server drops it
    windows     whether Windows pods may have it
    platform    whether VMGUARD_RUN_AS=platform leaves it to the platform
    runs_as     whether it is about the user that runs: not filled on the pod of a DaemonSet, which reads host files
    filled      the levels that strict security fills, if not all
    own         the levels that take it from a resource's own securityContext, if not all
    unset       a value that means the same as no value
    safer       of a list, whether more or fewer elements are never weaker
    annotation  where the field stood before it existed
    schema      the JSON types of its value, if they do not follow from the strict value
    """

    name: str
    levels: ContextLevels
    strict: Any
    accepted: Accepted
    danger: str
    since: int = 0
    windows: bool = False
    platform: bool = False
    runs_as: bool = False
    filled: ContextLevels = ()
    own: ContextLevels = ()
    unset: Any = None
    safer: Literal["", "more", "fewer"] = ""
    annotation: Annotation | None = None
    schema: Schema | None = None

    @property
    def types(self) -> Schema:
        """The JSON types of the field's value."""
        return self.schema or _SCHEMAS[type(self.strict)]

    @property
    def inherited(self) -> bool:
        """Whether a container's value takes the place of the pod's."""
        return self.levels == BOTH

    @property
    def wanted(self) -> Any:
        """What to show as wanted where the value is a violation: the strict value, else the accepted ones in words."""
        return self.accepted.text if type(self.strict) is LeftAlone else self.strict

    @property
    def why(self) -> str:
        """Why a value is a violation, and what is accepted beside the wanted one."""
        more = self.accepted.text if type(self.strict) is not LeftAlone else ""
        return f"{self.danger}; {more} is accepted too" if more else self.danger

    def fills(self, level: ContextLevel) -> bool:
        """Whether strict security fills the field at a level."""
        return type(self.strict) is not LeftAlone and level in (self.filled or self.levels)

    def takes_own(self, level: ContextLevel) -> bool:
        """Whether a resource's own securityContext sets the field at a level."""
        return level in (self.own or self.levels)

    def accepts(self, value: Any, minor: int) -> bool:
        """Whether a value that is set is no violation at Kubernetes 1.`minor`."""
        return (value == self.strict and type(value) is type(self.strict)) or self.accepted.allows(value, minor)

    def accepts_unset(self, minor: int) -> bool:
        """Whether a context without the field is as good as one with an accepted value."""
        return self.unset is not None and self.accepts(self.unset, minor)

    def no_weaker(self, value: Any, own: Any) -> bool:
        """Whether a value is surely no weaker than `own`, which may be None for no value."""
        if own is None and self.unset is not None and (type(value), value) == (type(self.unset), self.unset):
            return True
        if not self.safer or not isinstance(value, list):
            return False
        others = own if isinstance(own, list) else []
        fewer, more = (value, others) if self.safer == "fewer" else (others, value)
        return all(each in more for each in fewer)


_SCHEMAS: dict[type, Schema] = {bool: "boolean", int: "integer", str: "string", list: {EACH: "string"}}
_PROFILE: Schema = {"type": "string", "localhostProfile": "string"}

FIELDS: tuple[ContextField, ...] = (
    ContextField(
        "privileged", CONTAINER, False, NOTHING_ELSE, "a privileged container is root on the node", unset=False
    ),
    ContextField(
        "allowPrivilegeEscalation", CONTAINER, False, NOTHING_ELSE, "a process could gain more privileges", unset=True
    ),
    ContextField(
        "readOnlyRootFilesystem", CONTAINER, True, NOTHING_ELSE, "a process could change its programs", unset=False
    ),
    ContextField("capabilities/drop", CONTAINER, ["ALL"], accept.DROPPED, "the rest are powers of root", safer="more"),
    ContextField(
        "capabilities/add",
        CONTAINER,
        LeftAlone("a container without it adds none"),
        accept.ADDED,
        "other capabilities are powers of root",
        safer="fewer",
        schema={EACH: "string"},
    ),
    ContextField(
        "runAsNonRoot", BOTH, True, NOTHING_ELSE, "it could run as root", windows=True, runs_as=True, unset=False
    ),
    ContextField("runAsUser", BOTH, NOBODY, accept.USER, "user 0 is root", platform=True, runs_as=True),
    ContextField("runAsGroup", BOTH, NOBODY, accept.GROUP, "group 0 is root's group", platform=True, runs_as=True),
    ContextField("fsGroup", POD, NOBODY, accept.GROUP, "group 0 is root's group", platform=True),
    ContextField(
        "fsGroupChangePolicy",
        POD,
        "OnRootMismatch",
        accept.one_of("Always"),
        "vmguard knows no other",
        since=20,
        platform=True,
        unset="Always",
    ),
    ContextField(
        "supplementalGroups",
        POD,
        LeftAlone("a pod without it adds no group"),
        accept.GROUPS,
        "group 0 is root's group",
        safer="fewer",
        schema={EACH: "integer"},
    ),
    ContextField(
        "supplementalGroupsPolicy",
        POD,
        LeftAlone("the default, Merge, adds only groups that the image gives to its user"),
        accept.one_of("Merge", "Strict"),
        "vmguard knows no other",
        since=31,
        schema="string",
    ),
    ContextField(
        "seccompProfile",
        BOTH,
        {"type": "RuntimeDefault"},
        accept.SECCOMP,
        "processes could use every system call",
        filled=POD,
        annotation=Annotation(
            "seccomp.security.alpha.kubernetes.io/pod",
            "container.seccomp.security.alpha.kubernetes.io/",
            accept.SECCOMP_ANNOTATION,
            until=27,
        ),
        schema=_PROFILE,
    ),
    ContextField(
        "appArmorProfile",
        BOTH,
        LeftAlone("the runtime applies its profile where the node has AppArmor"),
        accept.APP_ARMOR,
        "it turns AppArmor off",
        since=30,
        annotation=Annotation("", app_armor.ANNOTATION, accept.APP_ARMOR_ANNOTATION),
        schema=_PROFILE,
    ),
    ContextField(
        "seLinuxOptions",
        BOTH,
        LeftAlone("the runtime confines every container"),
        accept.SE_LINUX,
        "it can lift the confinement by SELinux",
        own=POD,
        schema={"level": "string", "role": "string", "type": "string", "user": "string"},
    ),
    ContextField(
        "seLinuxChangePolicy",
        POD,
        LeftAlone("it only chooses how volumes get the pod's SELinux label"),
        accept.one_of("MountOption", "Recursive"),
        "vmguard knows no other",
        since=32,
        schema="string",
    ),
    ContextField(
        "procMount",
        CONTAINER,
        LeftAlone("a container without it has the default masks over /proc"),
        accept.one_of("Default"),
        "it uncovers parts of /proc",
        schema="string",
    ),
    ContextField(
        "sysctls",
        POD,
        LeftAlone("a pod without it sets none"),
        accept.SYSCTLS,
        "other sysctls can affect the node or other pods",
        safer="fewer",
        schema={EACH: {"name": "string", "value": "string"}},
    ),
    ContextField(
        "windowsOptions",
        BOTH,
        LeftAlone("a pod without it has no process of the host"),
        accept.WINDOWS,
        "processes could belong to the Windows host or to its administrator",
        windows=True,
        own=POD,
        schema={
            "gmsaCredentialSpec": "string",
            "gmsaCredentialSpecName": "string",
            "hostProcess": "boolean",
            "runAsUserName": "string",
        },
    ),
)

ROWS_BY_NAME: dict[str, ContextField] = {row.name: row for row in FIELDS}
"""The rows of any level by name."""

ROWS: dict[ContextLevel, dict[str, ContextField]] = {
    level: {row.name: row for row in FIELDS if level in row.levels} for level in BOTH
}
"""The rows of each level by name."""
