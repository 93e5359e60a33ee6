"""Users of a control plane with permissions that a test chooses."""

import itertools
from pathlib import Path
from typing import Any

from tests.controlplane.plane import ControlPlane
from webhook.cluster.collections import BUILT_IN, JUDGED, custom
from webhook.policy.custom_resources import BY_KIND

RBAC_GROUP = "rbac.authorization.k8s.io"
RBAC = f"{RBAC_GROUP}/v1"
"""The apiVersion of roles and bindings."""

READ = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}
"""The rule to get and list everything."""

_WATCHED = (*BUILT_IN.values(), *(custom(kind, BY_KIND[kind].storage) for kind in JUDGED))
_NEVER_TAKEN = [
    {
        "apiGroups": ["apiextensions.k8s.io"],
        "resources": ["customresourcedefinitions"],
        "verbs": ["list", "watch"],
    },
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "get", "patch"]},
]
_COUNT = itertools.count(1)


def granted(plane: ControlPlane, user: str, rules: list[dict[str, Any]], namespace: str = "") -> Path:
    """The kubeconfig of a user with these rules alone, in one namespace or ("") in the whole cluster.

    A Role or ClusterRole of the user's name holds the rules.
    """
    _bind(plane, _user(user), user, rules, namespace)
    return plane.kubeconfig(user)


def _user(name: str) -> dict[str, Any]:
    return {"apiGroup": RBAC_GROUP, "kind": "User", "name": name}


def _bind(plane: ControlPlane, subject: dict[str, Any], name: str, rules: list[dict[str, Any]], namespace: str) -> None:
    """Make a role of that name and bind it to the subject."""
    kind = "Role" if namespace else "ClusterRole"
    role = {"apiVersion": RBAC, "metadata": {"name": name}}
    plane.api.create({**role, "kind": kind, "rules": rules}, namespace)
    reference = {"apiGroup": RBAC_GROUP, "kind": kind, "name": name}
    plane.api.create({**role, "kind": f"{kind}Binding", "roleRef": reference, "subjects": [subject]}, namespace)


class Account:
    """A user with the permissions that vmguard needs, without those that `lack` names.

    The permissions hold in one namespace or ("") in the whole cluster. `service_account` is the namespace and the name
    of the ServiceAccount that it is, which is created; without it the user has a certificate.
    """

    def __init__(
        self, plane: ControlPlane, namespace: str = "", *, service_account: tuple[str, str] | None = None
    ) -> None:
        self._plane, self._namespace = plane, namespace
        self._name = f"account-{next(_COUNT)}"
        self._kind = "Role" if namespace else "ClusterRole"
        self.token = ""
        if service_account is None:
            self._subject = _user(self._name)
            self.kubeconfig = plane.kubeconfig(self._name)
        else:
            where, name = service_account
            plane.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}, where)
            self._subject = {"kind": "ServiceAccount", "namespace": where, "name": name}
            self.token = plane.token(where, name)
            self.kubeconfig = plane.kubeconfig_with(self.token, self._name)
        _bind(plane, self._subject, self._name, [], namespace)

    def lack(self, *taken: str) -> "Account":
        """Grant all permissions but some; each of these is `VERB PLURAL`."""
        rules = [
            {
                "apiGroups": [each.group],
                "resources": [each.plural],
                "verbs": [verb for verb in ("get", "list", "watch") if f"{verb} {each.plural}" not in taken],
            }
            for each in _WATCHED
        ]
        body = {"rules": [*rules, *_NEVER_TAKEN]}
        self._plane.api.patch(RBAC, self._kind, self._name, body, self._namespace)
        return self

    def add(self, rule: dict[str, Any], namespace: str = "") -> None:
        """Grant one more rule, in a namespace or ("") in the whole cluster."""
        _bind(self._plane, self._subject, f"{self._name}-{next(_COUNT)}", [rule], namespace)
