"""The collections that vmguard reads and watches: the place of each kind in the API, and how much of it is read.

It is one table for live lookups, discovery and reflectors. Discovery finds the version of the operator's resources. All
other kinds have the one version that Kubernetes 1.20 and newer serves.
"""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from webhook.name_forms import is_namespace, is_path_segment, is_subdomain
from webhook.policy import components
from webhook.policy.custom_resources import BY_KIND, GROUP
from webhook.policy.workload import MANAGED_BY
from webhook.text import one_line

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

POLICIES = "PodSecurityPolicy"


_RBAC = "rbac.authorization.k8s.io"
"""The group of Roles and RoleBindings, whose names may have other characters than those of other objects."""

_SHOWN = 100
"""Characters of an invalid name that a message shows."""


MANAGER = "vmguard"
"""vmguard as a field manager, and as the source of events."""


class InvalidNameError(ValueError):
    """A text in a path is no valid name of an object; the text of the error shows it."""


class Collection(msgspec.Struct, frozen=True, gc=False):
    """One resource of the API. With `metadata_only` vmguard requests only the metadata."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    metadata_only: bool = True
    selector: str = ""

    @property
    def root(self) -> str:
        """`/apis/GROUP/VERSION`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "") -> str:
        """Path of one object, or of the collection if there is no name; every part is escaped.

        Raises:
            InvalidNameError: no object and no namespace can have such a name.

        """
        self.check(namespace, name)
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        return "/".join(parts)

    def check(self, namespace: str = "", name: str = "") -> None:
        """Check the names in a path: `.` and `..` would lead to another path, escaped or not.

        Raises:
            InvalidNameError: no object and no namespace can have such a name.

        """
        if namespace and not is_namespace(namespace):
            raise InvalidNameError(f"{one_line(namespace, _SHOWN)!r} is no name of a namespace")
        is_name = is_path_segment if self.group == _RBAC else is_subdomain
        if name and not is_name(name):
            raise InvalidNameError(f"{one_line(name, _SHOWN)!r} is no name of an object of {self}")

    def __str__(self) -> str:
        """The name that RBAC and people use: `replicasets.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_MADE_BY_OPERATOR = "=".join(MANAGED_BY)

WORKLOADS = tuple(
    Collection("apps", "v1", kind, f"{kind.lower()}s", selector=_MADE_BY_OPERATOR)
    for kind in ("ReplicaSet", "Deployment", "StatefulSet", "DaemonSet")
)
NAMESPACES = Collection("", "v1", "Namespace", "namespaces", namespaced=False)
PSP = Collection("policy", "v1beta1", POLICIES, "podsecuritypolicies", namespaced=False)
PODS = Collection("", "v1", "Pod", "pods", metadata_only=False)
ROLES = Collection(_RBAC, "v1", "Role", "roles", metadata_only=False)
BINDINGS = Collection(_RBAC, "v1", "RoleBinding", "rolebindings", metadata_only=False)
ACCOUNTS = Collection("", "v1", "ServiceAccount", "serviceaccounts")
EVENTS = Collection("", "v1", "Event", "events")
SECRETS = Collection("", "v1", "Secret", "secrets", metadata_only=False)
MUTATING_CONFIGURATIONS, VALIDATING_CONFIGURATIONS = (
    Collection(
        "admissionregistration.k8s.io",
        "v1",
        f"{kind}WebhookConfiguration",
        f"{kind.lower()}webhookconfigurations",
        namespaced=False,
        metadata_only=False,
    )
    for kind in ("Mutating", "Validating")
)
MUTATING_POLICIES = tuple(
    Collection("admissionregistration.k8s.io", "v1", kind, plural, namespaced=False, metadata_only=False)
    for kind, plural in (
        ("MutatingAdmissionPolicy", "mutatingadmissionpolicies"),
        ("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings"),
    )
)
"""Served by newer versions of Kubernetes, first as v1alpha1."""
LEASES = Collection("coordination.k8s.io", "v1", "Lease", "leases")
DEFINITIONS = Collection(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)

BUILT_IN = {(each.group, each.kind): each for each in (*WORKLOADS, NAMESPACES, PSP)}

JUDGED = (*components.BY_KIND, *components.PARENTS)
"""The operator's kinds that make pods, and those that make such resources."""


def asked(path: str) -> tuple[str, str]:
    """The verb of a GET in the API server, `get` or `list`, and the plural, "" for discovery.

    Paths are those of `Collection.path`, with or without a query, and of discovery.
    """
    parts = path.partition("?")[0].strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == [NAMESPACES.plural] and len(parts) > 2:
        parts = parts[2:]
    return ("list" if len(parts) == 1 else "get"), (parts[0] if parts else "")


def custom(kind: str, version: str) -> Collection:
    """One of the operator's resources, in a version."""
    return Collection(GROUP, version, kind, BY_KIND[kind].plural, metadata_only=False)


def served(kind: str, versions: Mapping[str, str]) -> Collection:
    """One of the operator's resources in the version that discovery found, else in the stored version."""
    return custom(kind, versions.get(kind, BY_KIND[kind].storage))
