"""Default PodSecurityPolicies: which objects there must be for the operator's resources. Pure; asks and writes nothing.

For a resource whose pods name no policy: the policy `KIND-NAME` that the operator up to v0.42 made, its ServiceAccount
where the resource brings none of its own, and a Role and RoleBinding in its namespace that let that account use exactly
that policy. Three things differ from the operator's, which refused its own strict pods, overwrote one resource's
objects with another's of the same name, and cleaned nothing up: the runtime's default seccomp profile is allowed, what
is bound is bound in the namespace, and everything there is owned by the resource. The policy belongs to the cluster, is
the same for all resources of one kind and name, and so is owned by none.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from webhook.facts import Ref
from webhook.policy.components import BY_KIND
from webhook.policy.custom_resources import GROUP
from webhook.policy.preview import PodsOfResource
from webhook.policy.workload import account_of
from webhook.settings import Settings

Object = dict[str, Any]
NamespacedName = tuple[str, str]
"""Namespace and name."""

LABEL, OURS = "app.kubernetes.io/managed-by", "vmguard"
"""What every object made here wears; the value is the field manager's name too."""

PREFIX = "vmguard:"
"""Of Roles and RoleBindings: the operator makes some that are called `KIND-NAME`."""

RBAC = "rbac.authorization.k8s.io"

_PREFIXES = frozenset(kind.lower() for kind in BY_KIND)

_ANY = {"rule": "RunAsAny"}
_SECCOMP = "seccomp.security.alpha.kubernetes.io"
_SPEC: Object = {
    "allowPrivilegeEscalation": False,
    "fsGroup": _ANY,
    "hostNetwork": True,
    "requiredDropCapabilities": ["ALL"],
    "runAsUser": _ANY,
    "seLinux": _ANY,
    "supplementalGroups": _ANY,
    "volumes": ["persistentVolumeClaim", "secret", "emptyDir", "configMap", "projected", "downwardAPI", "nfs"],
}
_ANNOTATIONS = {
    # An allowed profile refuses pods without one (Kubernetes 1.24), so these get it.
    f"{_SECCOMP}/allowedProfileNames": "runtime/default",
    f"{_SECCOMP}/defaultProfileName": "runtime/default",
}


class Custom(msgspec.Struct, frozen=True):
    """A resource of the operator that makes pods; `spec` as far as decisions read it."""

    kind: str
    version: str
    namespace: str
    name: str
    uid: str
    spec: Object

    @property
    def made(self) -> str:
        """The name of what the operator makes for it, and of its default policy."""
        return f"{self.kind.lower()}-{self.name}"

    @property
    def account(self) -> str:
        """The name of the ServiceAccount that its pods have."""
        return self.own_account or self.made

    @property
    def own_account(self) -> str:
        """The ServiceAccount that it names itself, "" for none: then the operator makes one."""
        return account_of(self.spec)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Refused(msgspec.Struct, frozen=True):
    """A policy that a resource needs and vmguard may not bind: not listed as bindable, or not created by vmguard."""

    custom: Custom
    policy: str
    reason: Literal["not-bindable", "not-ours"]


class DesiredObjects(msgspec.Struct, frozen=True):
    """Which objects there must be: policies by name, the others by namespace and name; and for which resources."""

    policies: dict[str, Object]
    users: dict[str, list[Custom]]
    accounts: dict[NamespacedName, Object]
    roles: dict[NamespacedName, Object]
    bindings: dict[NamespacedName, Object]
    owners: dict[NamespacedName, Custom]
    refused: tuple[Refused, ...]


def wanted(customs: Iterable[Custom], settings: Settings, foreign: frozenset[str] = frozenset()) -> DesiredObjects:
    """What there must be for some resources; `foreign` are the policies that exist and are not ours.

    Nobody is let use a foreign policy, or one that a resource names, unless VMGUARD_PSP_BINDABLE lists it.
    """
    result = DesiredObjects({}, {}, {}, {}, {}, {}, ())
    refused: list[Refused] = []
    for custom in customs:
        named, silent = _named(custom, settings)
        usable: set[str] = set()
        for policy in named:
            if policy in settings.psp_bindable:
                usable.add(policy)
            else:
                refused.append(Refused(custom, policy, "not-bindable"))
        if silent:
            if custom.made not in foreign:
                result.policies[custom.made] = _policy(custom.made)
                result.users.setdefault(custom.made, []).append(custom)
                usable.add(custom.made)
            elif custom.made in settings.psp_bindable:
                usable.add(custom.made)
            else:
                refused.append(Refused(custom, custom.made, "not-ours"))
        if usable:
            _add(result, custom, sorted(usable))
    return msgspec.structs.replace(result, refused=tuple(refused))


def _named(custom: Custom, settings: Settings) -> tuple[list[str], bool]:
    """The policies that a resource names for its pods, and whether some of its pods have none named."""
    ref = Ref(GROUP, custom.version, custom.kind, custom.namespace, custom.name)
    postures = PodsOfResource(ref, custom.spec).postures(settings)
    names = [posture.pod_security_policy.word if posture.pod_security_policy else "" for posture in postures]
    return sorted(set(names) - {""}), "" in names


def _add(result: DesiredObjects, custom: Custom, usable: list[str]) -> None:
    name = PREFIX + custom.made
    place = custom.namespace, name
    result.owners[place] = custom
    rule = {"apiGroups": ["policy"], "resources": ["podsecuritypolicies"], "resourceNames": usable, "verbs": ["use"]}
    result.roles[place] = _object(f"{RBAC}/v1", "Role", name, custom) | {"rules": [rule]}
    result.bindings[place] = _object(f"{RBAC}/v1", "RoleBinding", name, custom) | {
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": custom.account, "namespace": custom.namespace}],
    }
    if not custom.own_account:
        place = custom.namespace, custom.account
        result.owners[place] = custom
        result.accounts[place] = _object("v1", "ServiceAccount", custom.account, custom)


def _policy(name: str) -> Object:
    made = _object("policy/v1beta1", "PodSecurityPolicy", name)
    made["metadata"]["annotations"] = dict(_ANNOTATIONS)
    return made | {"spec": _SPEC}


def _object(api_version: str, kind: str, name: str, owner: Custom | None = None) -> Object:
    metadata: Object = {"name": name, "labels": {LABEL: OURS}}
    if owner:
        metadata["namespace"] = owner.namespace
        metadata["ownerReferences"] = [
            {"apiVersion": f"{GROUP}/{owner.version}", "kind": owner.kind, "name": owner.name, "uid": owner.uid}
        ]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def is_ours(thing: Object, prefix: str = "") -> bool:
    """Whether an object was made here: by its label, its name after a prefix, its owner, and who wrote it.

    The label alone may be that of anything that somebody made for vmguard.
    """
    meta = thing["metadata"]
    named = meta["name"].startswith(prefix) and meta["name"].removeprefix(prefix).partition("-")[0] in _PREFIXES
    owners = (owner["apiVersion"].partition("/")[0] for owner in meta.get("ownerReferences") or ())
    return (
        (meta.get("labels") or {}).get(LABEL) == OURS
        and named
        and (not meta.get("namespace") or GROUP in owners)
        and any(each.get("manager") == OURS for each in meta.get("managedFields") or ())
    )


def is_as(there: Object, asked: Object) -> bool:
    """Whether an object is as it must be: its content to the letter, and of its metadata what is asked for."""
    content = _content(asked)
    return {key: there.get(key) for key in content} == content and _covers(there["metadata"], asked["metadata"])


def is_beyond(there: Object, asked: Object) -> bool:
    """Whether an object's content has what server-side apply of what is asked would leave there, or cannot change."""
    if there.get("roleRef") != asked.get("roleRef"):
        return True
    content = _content(asked)
    return _exceeds({key: there.get(key) for key in content}, content)


def _content(asked: Object) -> Object:
    return {key: value for key, value in asked.items() if key not in {"apiVersion", "kind", "metadata"}}


def _exceeds(there: Any, asked: Any) -> bool:
    if not isinstance(there, dict) or not isinstance(asked, dict):
        return False  # a value or a list is written whole
    return any(key not in asked or _exceeds(value, asked[key]) for key, value in there.items())


def _covers(there: Any, asked: Any) -> bool:
    """Whether all that is asked of metadata is there; what there is besides is somebody else's, owners too."""
    if not isinstance(asked, dict):
        return bool(there == asked)
    if not isinstance(there, dict):
        return False
    for key, value in asked.items():
        if key == "ownerReferences":
            if not all(any(_covers(each, owner) for each in there.get(key) or ()) for owner in value):
                return False
        elif not _covers(there.get(key), value):
            return False
    return True
