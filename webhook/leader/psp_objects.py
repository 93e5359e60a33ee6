"""Default PodSecurityPolicies: the wanted objects for the operator's resources. Pure: it reads and writes nothing.

A resource with pods that name no policy gets three kinds of objects. They are the policy `KIND-NAME` that the operator
up to v0.42 made, a ServiceAccount if the resource names none, and a Role and RoleBinding in its namespace. These let
the account use exactly that policy.

The operator's objects had three faults: its policy refused its own strict pods, two resources with one name overwrote
each other's objects, and nothing removed them. So vmguard's policy allows the runtime's default seccomp profile, the
binding is in the namespace, and the resource owns every object there. The policy belongs to the cluster. All resources
of one kind and name share it, so none owns it.
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
"""The label of every object made here; the value is also the field manager's name."""

PREFIX = "vmguard:"
"""Prefix of Roles and RoleBindings: the operator makes some with the name `KIND-NAME`."""

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
    # A policy with allowed profiles refuses pods without one (Kubernetes 1.24), so these pods get the default.
    f"{_SECCOMP}/allowedProfileNames": "runtime/default",
    f"{_SECCOMP}/defaultProfileName": "runtime/default",
}


class Custom(msgspec.Struct, frozen=True):
    """A resource of the operator that makes pods; `spec` has the fields that decisions read."""

    kind: str
    version: str
    namespace: str
    name: str
    uid: str
    spec: Object

    @property
    def made(self) -> str:
        """The name of the objects that the operator makes for it, and of its default policy."""
        return f"{self.kind.lower()}-{self.name}"

    @property
    def account(self) -> str:
        """The name of its pods' ServiceAccount."""
        return self.own_account or self.made

    @property
    def own_account(self) -> str:
        """The ServiceAccount that it names, "" for none: then the operator makes one."""
        return account_of(self.spec)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Refused(msgspec.Struct, frozen=True):
    """A policy that a resource needs and vmguard may not bind: not listed as bindable, or not created by vmguard."""

    custom: Custom
    policy: str
    reason: Literal["not-bindable", "not-ours"]


class DesiredObjects(msgspec.Struct, frozen=True):
    """The wanted objects: policies by name, the others by namespace and name; and the resources that need them."""

    policies: dict[str, Object]
    users: dict[str, list[Custom]]
    accounts: dict[NamespacedName, Object]
    roles: dict[NamespacedName, Object]
    bindings: dict[NamespacedName, Object]
    owners: dict[NamespacedName, Custom]
    refused: tuple[Refused, ...]


def wanted(customs: Iterable[Custom], settings: Settings, foreign: frozenset[str] = frozenset()) -> DesiredObjects:
    """The wanted objects for some resources; `foreign` are the existing policies that vmguard did not make.

    No account may use a foreign policy, or a policy that a resource names, unless VMGUARD_PSP_BINDABLE lists it.
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
    """The policies that a resource names for its pods, and whether some of its pods name none."""
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
    """Whether vmguard made an object: by its label, its name after a prefix, its owner, and its field manager.

    The label alone does not suffice: a person may also set it on objects for vmguard.
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
    """Whether an object is as wanted: exactly the same content, and all wanted metadata."""
    content = _content(asked)
    return {key: there.get(key) for key in content} == content and _covers(there["metadata"], asked["metadata"])


def is_beyond(there: Object, asked: Object) -> bool:
    """Whether server-side apply of the wanted object would leave a wrong field in the content, or cannot change one."""
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
    """Whether an object has all wanted metadata; other metadata, also owners, is not vmguard's."""
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
