"""What is looked up and watched: where each kind is in the API, and how much of it is ever read.

One table for live look-ups, discovery and reflectors. Of the operator's resources the version comes from discovery;
everything else has the one version that Kubernetes 1.20 and newer serves.
"""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from webhook.policy import components
from webhook.policy.custom_resources import BY_KIND, GROUP
from webhook.policy.workload import MANAGED_BY

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

POLICIES = "PodSecurityPolicy"


class Collection(msgspec.Struct, frozen=True, gc=False):
    """One resource of the API. Of one with `metadata_only` the rest is never asked for."""

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
        """Path of one object, or without a name of the collection; every part is escaped."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        return "/".join(parts)

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
ROLES = Collection("rbac.authorization.k8s.io", "v1", "Role", "roles", metadata_only=False)
BINDINGS = Collection("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", metadata_only=False)
ACCOUNTS = Collection("", "v1", "ServiceAccount", "serviceaccounts")
EVENTS = Collection("", "v1", "Event", "events")
LEASES = Collection("coordination.k8s.io", "v1", "Lease", "leases")
DEFINITIONS = Collection(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)

BUILT_IN = {(each.group, each.kind): each for each in (*WORKLOADS, NAMESPACES, PSP)}

JUDGED = (*components.BY_KIND, *components.PARENTS)
"""The operator's kinds that make pods, and those that make such resources."""


def asked(path: str) -> tuple[str, str]:
    """What a GET of a path is to the API server: its verb, `get` or `list`, and the plural, "" where that is discovery.

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
    """One of the operator's resources in the version that discovery found, as it is stored where it found none."""
    return custom(kind, versions.get(kind, BY_KIND[kind].storage))
