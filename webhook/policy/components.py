"""The one table of what makes pods: every component of every kind, and what is particular about its pods.

A component is what one workload of the operator runs: `vmselect` of a VMCluster, the load balancer in front of it,
`vmagent`. The table says where the component's part of the custom resource is, which containers the operator itself
makes, and who needs the Kubernetes API. Rules ask this table and know no component by name. Source: operator
v0.42 to v0.74, and recorded pods of v0.53, v0.54 and v0.74.
"""

from typing import Any, Literal

import msgspec

ApiNeed = Literal["always", "daemonset", "scraping", "never"]
"""When a component's main container itself talks to the Kubernetes API."""


class Component(msgspec.Struct, frozen=True):
    """One component.

    `path` leads from the custom resource to the component's own part; the resource's `spec` is the root. `containers`
    are the operator's containers and init containers by name, the main one first. `workload` is the prefix of the
    names of its Deployments, StatefulSets and DaemonSets (`vmselect-NAME`; `NAME-vmselect` where the resource says
    `useLegacyNaming`). `label` is the value of app.kubernetes.io/name on its workload and pods.
    """

    name: str
    kind: str
    path: tuple[str, ...]
    containers: tuple[str, ...]
    workload: str
    label: str
    api: ApiNeed = "never"
    runs_as_root_in_daemonset: bool = False
    optional: bool = False

    @property
    def main(self) -> str:
        """The name of the main container."""
        return self.containers[0]

    def part_of(self, spec: Any) -> dict[str, Any]:
        """The component's own part of a resource's spec, {} when it is absent."""
        for field in self.path[1:]:
            spec = spec.get(field) if isinstance(spec, dict) else None
        return spec if isinstance(spec, dict) else {}

    def runs_in(self, spec: dict[str, Any]) -> bool:
        """Whether the resource has this component: a cluster's parts are optional, a balancer must be enabled."""
        if len(self.path) == 1:
            return True
        field = spec.get(self.path[1])
        return isinstance(field, dict) and (not self.optional or field.get("enabled") is True)


_RELOADER = ("config-reloader", "config-init")
_BACKUP = ("vmbackuper", "vmbackuper-restore")


def _single(kind: str, *containers: str, api: ApiNeed = "never", root: bool = False) -> Component:
    name = kind.lower()
    return Component(name, kind, ("spec",), containers or (name,), name, name, api, root)


def _cluster(kind: str, prefix: str, *parts: tuple[str, str, tuple[str, ...]]) -> tuple[Component, ...]:
    balancer = f"{prefix}clusterlb"
    return (
        *(Component(name, kind, ("spec", field), (name, *more), name, name) for field, name, more in parts),
        Component(
            balancer,
            kind,
            ("spec", "requestsLoadBalancer", "spec"),
            ("vmauth",),
            balancer,
            f"{balancer}-vmauth-balancer",
            optional=True,
        ),
    )


COMPONENTS: tuple[Component, ...] = (
    _single("VMAgent", "vmagent", *_RELOADER, api="always"),
    _single("VMSingle", "vmsingle", *_BACKUP, *_RELOADER, api="scraping"),
    _single("VMAlert", "vmalert", *_RELOADER),
    _single("VMAlertmanager", "alertmanager", *_RELOADER),
    _single("VMAuth", "vmauth", *_RELOADER),
    _single("VLogs"),
    _single("VLSingle"),
    _single("VLAgent", api="daemonset", root=True),
    _single("VTSingle"),
    _single("VMAnomaly"),
    *_cluster(
        "VMCluster",
        "vm",
        ("vmstorage", "vmstorage", _BACKUP),
        ("vmselect", "vmselect", ()),
        ("vminsert", "vminsert", ()),
    ),
    *_cluster(
        "VLCluster",
        "vl",
        ("vlstorage", "vlstorage", ()),
        ("vlselect", "vlselect", ()),
        ("vlinsert", "vlinsert", ()),
    ),
    *_cluster(
        "VTCluster",
        "vt",
        ("storage", "vtstorage", ()),
        ("select", "vtselect", ()),
        ("insert", "vtinsert", ()),
    ),
)

BY_KIND: dict[str, tuple[Component, ...]] = {
    kind: tuple(component for component in COMPONENTS if component.kind == kind)
    for kind in dict.fromkeys(component.kind for component in COMPONENTS)
}

BY_LABEL: dict[str, Component] = {component.label: component for component in COMPONENTS}

PARENTS: dict[str, dict[str, str]] = {
    "VMDistributed": {"VMAgent": "vmagent", "VMCluster": "vmcluster", "VMSingle": "vmsingle", "VMAuth": "vmauth"},
    "VLDistributed": {"VLAgent": "vlagent", "VLCluster": "vlcluster", "VLSingle": "vlsingle", "VMAuth": "vmauth"},
}
"""Kinds that make other resources, and under which field each child kind's spec stands in zones and zoneCommon."""

SHARED_CHILD = "vmauth"
"""The child that a parent has once, at `spec.vmauth`, and not once a zone."""


def component_of(kind: str, cr_name: str, workload_name: str, label: str) -> Component | None:
    """The component of a resource that a workload belongs to: by the workload's name, else by its own label."""
    candidates = BY_KIND.get(kind, ())
    if len(candidates) == 1:
        return candidates[0]
    for component in candidates:
        if workload_name in {f"{component.workload}-{cr_name}", f"{cr_name}-{component.workload}"}:
            return component
    return next((component for component in candidates if component.label == label), None)
