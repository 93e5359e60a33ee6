"""Roles: what vmguard itself may do, and viewer and editor roles for every resource of the operator.

One table has vmguard's permissions, each with its reason. A role has a rule for each row that it needs, and nothing is
a wildcard. Viewer and editor roles are not aggregated into the cluster's own `view` and `edit`: a VMUser holds
passwords, and not everybody who may view a namespace may see them.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.custom_resources import GROUP, RESOURCES, CustomResource

_RBAC = "rbac.authorization.k8s.io"

Place = Literal["cluster", "watched", "own"]
"""Where a permission must hold: in the cluster; in each namespace that is watched, which is the cluster where all are;
in vmguard's own namespace."""

READ = ("get", "list", "watch")
VIEW = READ
EDIT = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Permission(msgspec.Struct, frozen=True):
    """One rule, and why vmguard needs it. `names` are the only objects that it is for, () for all."""

    reason: str
    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    place: Place
    names: tuple[str, ...] = ()

    @property
    def rule(self) -> dict[str, Any]:
        """The rule of a Role or ClusterRole."""
        rule = {"apiGroups": [self.group], "resources": list(self.resources), "verbs": list(self.verbs)}
        return {**rule, "resourceNames": list(self.names)} if self.names else rule


class InstallationNames(msgspec.Struct, frozen=True):
    """The names of one installation's objects, as its settings have them."""

    namespace: str = "vmguard-system"
    account: str = "vmguard"
    service: str = "vmguard"
    configuration: str = "vmguard"
    lease: str = "vmguard"


_JUDGED = tuple(each.plural for each in RESOURCES if each.kind in {*BY_KIND, *PARENTS})


def permissions(names: InstallationNames) -> tuple[Permission, ...]:
    """Every permission that vmguard needs in a cluster that it watches whole, without default PodSecurityPolicies."""
    configurations = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    return (
        Permission(
            "the owners of a pod decide which resource it belongs to",
            "apps",
            ("daemonsets", "deployments", "replicasets", "statefulsets"),
            READ,
            "watched",
        ),
        Permission("the resource of a pod decides what the pod must look like", GROUP, _JUDGED, READ, "watched"),
        Permission("the survey lists running pods that do not comply", "", ("pods",), ("list",), "watched"),
        Permission(
            "events on the resources of pods that vmguard denies or reports; the count of one is read and raised",
            "",
            ("events",),
            ("create", "get", "patch"),
            "watched",
        ),
        Permission("the labels of a namespace decide what is enforced there", "", ("namespaces",), READ, "cluster"),
        Permission(
            "below Kubernetes 1.25, whether a PodSecurityPolicy that is named exists",
            "policy",
            ("podsecuritypolicies",),
            READ,
            "cluster",
        ),
        Permission(
            "a new kind of the operator is noticed when its definition comes",
            "apiextensions.k8s.io",
            ("customresourcedefinitions",),
            ("list", "watch"),
            "cluster",
        ),
        Permission(
            "the leader writes the CA bundle, and readiness compares it with the certificate",
            "admissionregistration.k8s.io",
            configurations,
            ("get", "patch"),
            "cluster",
            (names.configuration,),
        ),
        Permission(
            "the CA with its key; vmguard cannot create the Secret, which has to be there",
            "",
            ("secrets",),
            ("get", "update"),
            "own",
            (f"{names.service}-ca",),
        ),
        Permission(
            "leader election: the Lease is created once; create cannot be limited to a name",
            "coordination.k8s.io",
            ("leases",),
            ("create",),
            "own",
        ),
        Permission(
            "leader election: the Lease is read and renewed",
            "coordination.k8s.io",
            ("leases",),
            ("get", "update"),
            "own",
            (names.lease,),
        ),
    )


def roles(names: InstallationNames, watched: tuple[str, ...] = ()) -> tuple[dict[str, Any], ...]:
    """The ClusterRole, the Role and the leader election Role of vmguard's ServiceAccount, with their bindings.

    Each role has the name of what it is for, so that two installations in a cluster, or in a namespace, have their own.

    With `watched`, the namespaces of WATCH_NAMESPACE, there is no ClusterRole: each of them has a Role. Then vmguard
    writes no CA, so `get` on its Secret suffices, and one Namespace may be read by a Role in it.
    """
    needed = permissions(names)
    own = [each for each in needed if each.place == "own"]
    leases = [each for each in own if each.resources == ("leases",)]
    secrets = [each for each in own if each not in leases]
    everywhere = [each for each in needed if each.place != "own"]
    if not watched:
        cluster = _bound(names, "ClusterRole", names.configuration, everywhere)
        return (*cluster, *_own(names, names.service, secrets), *_own(names, f"{names.lease}-leader-election", leases))
    readable = [each for each in everywhere if each.place == "watched"]
    readable += [_only_get(each) for each in everywhere if each.resources == ("namespaces",)]
    read_only = [_only_get(each) for each in secrets]
    return (
        *(part for place in watched for part in _bound(names, "Role", f"{names.configuration}-watch", readable, place)),
        *_own(names, names.service, read_only),
        *_own(names, f"{names.lease}-leader-election", leases),
    )


def cluster_role_without_ca(names: InstallationNames) -> dict[str, Any]:
    """The ClusterRole where vmguard does not write the CA bundles: it only compares them with its certificate."""
    role = roles(names)[0]
    needed = (
        _only_get(each) if each.group == "admissionregistration.k8s.io" else each
        for each in permissions(names)
        if each.place != "own"
    )
    return {**role, "rules": [each.rule for each in needed]}


def default_policies() -> tuple[Permission, ...]:
    """Every permission that VM_PSPAUTOCREATEENABLED needs besides; docs/design.md says why they suffice."""
    return (
        Permission(
            "the API server lets an account grant the use of a policy only if the account may use it",
            "policy",
            ("podsecuritypolicies",),
            ("get", "list", "watch", "create", "patch", "delete", "use"),
            "cluster",
        ),
        Permission(
            "each resource has a Role for its policy, with a binding",
            _RBAC,
            ("roles", "rolebindings"),
            ("get", "list", "create", "patch", "delete"),
            "cluster",
        ),
        Permission(
            "the pods of a resource need its ServiceAccount",
            "",
            ("serviceaccounts",),
            ("list", "create", "patch"),
            "cluster",
        ),
    )


def default_policy_roles(names: InstallationNames) -> tuple[dict[str, Any], ...]:
    """The ClusterRole for VM_PSPAUTOCREATEENABLED, with its binding."""
    return _bound(names, "ClusterRole", f"{names.configuration}-default-policies", default_policies())


def policy_user_roles(names: InstallationNames) -> tuple[dict[str, Any], ...]:
    """The Role that lets vmguard's own pods use their PodSecurityPolicy, with its binding."""
    use = Permission(
        "the pods of vmguard need a policy", "policy", ("podsecuritypolicies",), ("use",), "own", (names.configuration,)
    )
    return _own(names, f"{names.service}-psp", (use,))


_MUTATIONS = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations")

_AUDITED: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("", ("pods",), "each running pod is decided on as at an admission"),
    ("", ("persistentvolumeclaims", "persistentvolumes"), "where the data of a pod are"),
    ("storage.k8s.io", ("csidrivers",), "whether a driver gives the files to fsGroup"),
    ("", ("namespaces",), "the labels of a namespace decide what is enforced there"),
    (
        "apps",
        ("daemonsets", "deployments", "replicasets", "statefulsets"),
        "the owners of a pod, and their pod templates",
    ),
    (GROUP, _JUDGED, "the resource of a pod decides what the pod must look like"),
    ("admissionregistration.k8s.io", _MUTATIONS, "which other webhooks and policies change a pod"),
    ("policy", ("podsecuritypolicies",), "below Kubernetes 1.25, whether a policy that is named exists"),
)
"""What `vmguard audit` reads: API group, resources, and why."""


def audit_role(name: str = "vmguard-audit") -> dict[str, Any]:
    """The ClusterRole of people who audit a cluster: get and list, and nothing else."""
    needed = (Permission(why, group, resources, ("get", "list"), "cluster") for group, resources, why in _AUDITED)
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [each.rule for each in needed],
    }


def _only_get(permission: Permission) -> Permission:
    return msgspec.structs.replace(permission, verbs=("get",))


def _own(names: InstallationNames, name: str, needed: Iterable[Permission]) -> tuple[dict[str, Any], ...]:
    """A role in vmguard's own namespace, with its binding."""
    return _bound(names, "Role", name, needed, names.namespace)


def _bound(
    names: InstallationNames, kind: str, name: str, needed: Iterable[Permission], namespace: str = ""
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A role and the binding that gives it to vmguard's ServiceAccount."""
    metadata = {"name": name, **_in(namespace)}
    role = {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": metadata, "rules": [each.rule for each in needed]}
    binding = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": dict(metadata),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": names.account, **_in(names.namespace)}],
    }
    return role, binding


def _in(namespace: str) -> dict[str, str]:
    """The namespace of an object, {} for none: then it belongs to the cluster, or an overlay sets it."""
    return {"namespace": namespace} if namespace else {}


def viewer(resource: CustomResource) -> dict[str, Any]:
    """The ClusterRole of people who may read a resource and its status."""
    return _for_people(resource, "viewer", VIEW)


def editor(resource: CustomResource) -> dict[str, Any]:
    """The ClusterRole of people who may change a resource, and read its status, which the operator writes."""
    return _for_people(resource, "editor", EDIT)


def _for_people(resource: CustomResource, what: str, verbs: tuple[str, ...]) -> dict[str, Any]:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"victoriametrics-{resource.singular}-{what}"},
        "rules": [
            {"apiGroups": [GROUP], "resources": [resource.plural], "verbs": list(verbs)},
            {"apiGroups": [GROUP], "resources": [f"{resource.plural}/status"], "verbs": ["get"]},
        ],
    }
