"""The components of kustomize in `deploy/components/`: one table.

A component is for what needs a version of Kubernetes or a choice. Its patches merge by the names of container, variable
and entry. No two components change the same field, so they can be combined in any order.

To add a component, add a row to `COMPONENTS` and a row to the table in docs/install.md.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from webhook.manifests import cert_manager, dashboard, monitoring, optional_objects
from webhook.manifests.fence import ServiceAccount, fence
from webhook.manifests.installation import CONTAINER, MODE
from webhook.manifests.roles import InstallationNames, default_policy_roles, policy_user_roles
from webhook.manifests.webhooks import MATCH_CONDITIONS, TRIAL, Service, denying, staged

_NAMES = InstallationNames()
_FOLLOWING = InstallationNames(namespace="")
"""For the subjects of bindings: kustomize gives them the namespace of the ServiceAccount that they name."""

_MUTATING, _VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"

Objects = Callable[[], Iterable[dict[str, Any]]]
"""Returns the objects of a file; a function, as most runs of vmguard need none."""


class ComponentPatch(msgspec.Struct, frozen=True):
    """A patch of one object. An `optional` one changes nothing where the overlay has no such object."""

    objects: Objects
    optional: bool = False


class KustomizeComponent(msgspec.Struct, frozen=True):
    """One component: files by their names.

    `since` is the first version of Kubernetes that it works with, and `until` the last one; "" for all that are
    supported. `needs` is what else the cluster must have. `beside` are files for an overlay to use.
    """

    about: tuple[str, ...]
    since: str = ""
    until: str = ""
    needs: str = ""
    resources: Mapping[str, Objects] = {}
    patches: Mapping[str, ComponentPatch] = {}
    settings: Mapping[str, Objects] = {}
    beside: Mapping[str, Objects] = {}

    def kustomization(self) -> dict[str, Any]:
        """The content of kustomization.yaml."""
        lists = {
            "resources": list(self.resources),
            "configurations": list(self.settings),
            "patches": [_entry(file, patch) for file, patch in self.patches.items()],
        }
        head = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
        return {**head, **{field: entries for field, entries in lists.items() if entries}}


def _entry(file: str, patch: ComponentPatch) -> dict[str, Any]:
    """A patch without a target must find its object."""
    if not patch.optional:
        return {"path": file}
    (made,) = patch.objects()
    return {"path": file, "target": {"kind": made["kind"], "name": made["metadata"]["name"]}}


def _head(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}


def _patch(made: Callable[[], dict[str, Any]], *, optional: bool = False) -> ComponentPatch:
    return ComponentPatch(lambda: (made(),), optional)


def _variable(name: str, value: str) -> ComponentPatch:
    """The patch of the Deployment that sets a variable."""
    container = {"name": CONTAINER, "env": [{"name": name, "value": value}]}
    spec = {"template": {"spec": {"containers": [container]}}}
    return _patch(lambda: {**_head("apps/v1", "Deployment", _NAMES.account), "spec": spec})


def _entries(kind: str, entries: Callable[[], Iterable[dict[str, Any]]]) -> ComponentPatch:
    """The patch of some entries of a webhook configuration."""
    head = _head("admissionregistration.k8s.io/v1", kind, _NAMES.configuration)
    return _patch(lambda: {**head, "webhooks": list(entries())})


def _enforcing(which: int) -> Iterable[dict[str, Any]]:
    """What differs from a trial, for the mutating (0) or the validating (1) configuration."""
    configuration = staged(Service(namespace=""), trial=False)[which]
    return ({"name": each["name"], **{field: each[field] for field in TRIAL}} for each in configuration["webhooks"])


def _denying(which: int) -> Iterable[dict[str, Any]]:
    """The paths and the selectors of entries for pods where every namespace enforces deny."""
    for name, changed in denying(Service(namespace=""))[which].items():
        path = {"service": {"path": changed["clientConfig"]["service"]["path"]}}
        yield {"name": name, "clientConfig": path, "namespaceSelector": changed["namespaceSelector"]}


def _conditions() -> Iterable[dict[str, Any]]:
    configuration = staged(Service(namespace=""), trial=True)[1]
    for each in configuration["webhooks"]:
        if each["name"].startswith("resources"):
            yield {"name": each["name"], "matchConditions": [dict(condition) for condition in MATCH_CONDITIONS]}


def _placed(thing: dict[str, Any]) -> dict[str, Any]:
    """An object in the namespace of the default overlay; where an overlay sets another one, that one counts."""
    return {**thing, "metadata": {**thing["metadata"], "namespace": _NAMES.namespace}}


def _removed(version: str, kind: str, name: str) -> ComponentPatch:
    return _patch(lambda: {**_head(version, kind, name), "$patch": "delete"}, optional=True)


_RBAC = "rbac.authorization.k8s.io/v1"

COMPONENTS: Mapping[str, KustomizeComponent] = {
    "enforce": KustomizeComponent(
        (
            "vmguard enforces: pods are filled, what must be denied is denied, and without vmguard no pod of the",
            "operator is created. Without this component vmguard only reports.",
        ),
        patches={
            "mode.yaml": _variable(MODE, "enforce"),
            "mutating.yaml": _entries(_MUTATING, lambda: _enforcing(0)),
            "validating.yaml": _entries(_VALIDATING, lambda: _enforcing(1)),
        },
    ),
    "enforce-deny": KustomizeComponent(
        (
            "Every namespace enforces deny: vmguard denies each pod that is not compliant after filling. Without the",
            "component enforce it only reports that, but in namespaces with the label vmguard.io/mode: enforce.",
        ),
        patches={
            "level.yaml": _variable("VMGUARD_ENFORCE", "deny"),
            "mutating.yaml": _entries(_MUTATING, lambda: _denying(0)),
            "validating.yaml": _entries(_VALIDATING, lambda: _denying(1)),
        },
    ),
    "match-conditions": KustomizeComponent(
        (
            "The API server does not call vmguard for a resource that is being deleted, and for an update of one that",
            "changes neither its spec nor its owners. No denial depends on these calls.",
        ),
        since="1.28",
        patches={"validating.yaml": _entries(_VALIDATING, _conditions)},
    ),
    "fence": KustomizeComponent(
        (
            "The fence: of webhook configurations vmguard's ServiceAccount may change the CA bundles and nothing else.",
            "An overlay for another namespace than vmguard-system must use namespace.yaml: else it has no effect.",
        ),
        since="1.30",
        resources={"fence.yaml": lambda: fence(ServiceAccount())},
        beside={"namespace.yaml": lambda: (_namespace_of_fence(),)},
    ),
    "flow-control": KustomizeComponent(
        ("The API server puts vmguard's requests ahead of those of other ServiceAccounts.",),
        since="1.29",
        resources={"flow-schemas.yaml": lambda: optional_objects.flow_schemas(_NAMES)},
        settings={"namespace.yaml": lambda: (optional_objects.namespace_of_flow_schemas(),)},
    ),
    "unhealthy-pod-eviction": KustomizeComponent(
        ("A drain of nodes also evicts a replica that is not ready, because it serves no requests.",),
        since="1.26",
        patches={
            "budget.yaml": _patch(
                lambda: {
                    **_head("policy/v1", "PodDisruptionBudget", _NAMES.account),
                    "spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"},
                }
            )
        },
    ),
    "cert-manager": KustomizeComponent(
        (
            "cert-manager makes vmguard's certificate and writes the CA bundle; vmguard writes neither.",
            "An overlay for another namespace than vmguard-system must use namespace.yaml.",
        ),
        needs="cert-manager",
        resources={"certificates.yaml": lambda: cert_manager.issuers(_NAMES)},
        patches={
            "mounted.yaml": _patch(lambda: cert_manager.mounted(_NAMES)),
            "mutating.yaml": _patch(lambda: cert_manager.injected(_NAMES, _MUTATING)),
            "validating.yaml": _patch(lambda: cert_manager.injected(_NAMES, _VALIDATING)),
            "only-reading.yaml": _patch(lambda: cert_manager.only_reading(_NAMES), optional=True),
            "without-secret.yaml": _removed("v1", "Secret", f"{_NAMES.service}-ca"),
            "without-role.yaml": _removed(_RBAC, "Role", _NAMES.service),
            "without-role-binding.yaml": _removed(_RBAC, "RoleBinding", _NAMES.service),
        },
        beside={"namespace.yaml": lambda: (cert_manager.replacement(_NAMES),)},
    ),
    "vm-monitoring": KustomizeComponent(
        ("The VictoriaMetrics operator has vmguard's metrics scraped and its alerts evaluated.",),
        needs="the VictoriaMetrics operator",
        resources={
            "scrape.yaml": lambda: (monitoring.vm_scrape(_NAMES),),
            "rules.yaml": lambda: (monitoring.vm_rules(_NAMES),),
        },
    ),
    "prometheus-operator": KustomizeComponent(
        ("The Prometheus operator has vmguard's metrics scraped and its alerts evaluated.",),
        needs="the Prometheus operator",
        resources={
            "service-monitor.yaml": lambda: (monitoring.service_monitor(_NAMES),),
            "prometheus-rules.yaml": lambda: (monitoring.prometheus_rules(_NAMES),),
        },
    ),
    "grafana-dashboard": KustomizeComponent(
        ("Grafana's sidecar loads vmguard's dashboard from a ConfigMap with the label grafana_dashboard.",),
        needs="Grafana with the sidecar for dashboards",
        resources={"dashboard.yaml": lambda: (dashboard.config_map(_NAMES),)},
    ),
    "network-policy": KustomizeComponent(
        (
            "All may connect to the webhook, and pods of the namespace monitoring to port 8080, which has the metrics.",
            "The kubelet can always reach the pods of its node.",
        ),
        needs="a network that knows NetworkPolicies",
        resources={"network-policy.yaml": lambda: (optional_objects.network_policy(_NAMES),)},
    ),
    "psp": KustomizeComponent(
        ("The PodSecurityPolicy of vmguard's own pods, with the Role that lets them use it.",),
        until="1.24",
        resources={
            "policy.yaml": lambda: (optional_objects.pod_security_policy(_NAMES),),
            "roles.yaml": lambda: map(_placed, policy_user_roles(_FOLLOWING)),
        },
    ),
    "default-policies": KustomizeComponent(
        (
            "vmguard makes default PodSecurityPolicies (VM_PSPAUTOCREATEENABLED), and may do what that needs.",
            "docs/design.md says what a holder of these permissions can do.",
        ),
        until="1.24",
        resources={"roles.yaml": lambda: default_policy_roles(_FOLLOWING)},
        patches={"autocreate.yaml": _variable("VM_PSPAUTOCREATEENABLED", "true")},
    ),
}
"""By the name of the folder."""


def _namespace_of_fence() -> dict[str, Any]:
    """The replacement of kustomize by which the user in the fence has the namespace of an overlay."""
    expression = "spec.matchConditions.[name=vmguard].expression"
    return {
        "source": {"kind": "Deployment", "name": _NAMES.account, "fieldPath": "metadata.namespace"},
        "targets": [
            {
                "select": {"kind": "ValidatingAdmissionPolicy", "name": f"{_NAMES.configuration}-fence"},
                "fieldPaths": [expression],
                "options": {"delimiter": ":", "index": 2},
            }
        ],
    }
