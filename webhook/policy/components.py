"""The one table of the kinds that make pods: every component of every kind, with the properties of its pods.

One workload of the operator runs a component: `vmselect` of a VMCluster, the load balancer in front of it, `vmagent`. A
row has the place of the component's part in the resource, the containers that the operator makes, and where they write.
It also has the controller that runs them, and when they need the Kubernetes API. All other code reads the table and
knows no kind, component or container by name. A new kind is one row of KINDS. Columns are data: fields that decide
something are paths and conditions.

Source: operator v0.42 to v0.74, and recorded pods of v0.53, v0.54 and v0.74. VTAgent: operator v0.75. VMEstimator: the
documentation of v0.76, and the sources just before it, where the layout of single-node mode still changed. Users of
images: their Dockerfiles.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from webhook.policy.conditions import Condition, Path, Present, Unless, When, holds, paths_of

Controller = Literal["Deployment", "StatefulSet", "DaemonSet"]


UnknownFields = Literal["dropped", "kept at the top", "kept"]
"""What an API server does with unknown fields of an object, by the operator's definition: with `dropped` and `kept at
the top` the rest has a schema."""


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Where a component writes: the operator's volume, its default path, and the flag that names the path, "" for none.

    `{name}` in a volume's name is the name of the resource. `moves_mount` are fields that change the path of flag and
    mount; `moves_flag` are fields that change the path of the flag alone, so the user must mount a volume there.
    `claims` are the fields that request a PersistentVolumeClaim, where `claimable` holds.
    """

    volume: str
    path: str
    flag: str = ""
    moves_mount: tuple[Path, ...] = ()
    moves_flag: tuple[Path, ...] = ()
    claims: tuple[Path, ...] = (("storage",),)
    claimable: Condition = True


class Nothing(msgspec.Struct, frozen=True):
    """The component writes to no volume of its own; `because` says why."""

    because: str


class HostPath(msgspec.Struct, frozen=True):
    """A path of the node that a component mounts read-only, and the name of its volume."""

    volume: str
    path: str


class DaemonSetMode(msgspec.Struct, frozen=True, kw_only=True):
    """How a component changes that a field turns into a DaemonSet, with a pod on every node.

    `data_path` is a path of the node where it writes then, "" where that does not change. `runs_as_root` is for one
    that reads the files of other users.
    """

    when: Condition
    needs_api: bool = False
    runs_as_root: bool = False
    data_path: str = ""
    reads: tuple[HostPath, ...] = ()


class ImageUser(msgspec.Struct, frozen=True):
    """The user that an image runs as where the pod sets none; None where it is not known.

    `name` is the user's name in the image, "" for a number. If runAsNonRoot is true and runAsUser is not set, the
    kubelet starts no image with a named user, because it cannot find out the user's id.
    """

    user: int | None
    name: str = ""


_ROOT = ImageUser(0)
"""The images of VictoriaMetrics, VictoriaLogs and VictoriaTraces name no user."""

_NOBODY = ImageUser(65534, "nobody")
_NOT_KNOWN = ImageUser(None)


class OperatorContainer(msgspec.Struct, frozen=True, kw_only=True):
    """A container that the operator makes beside the main one, when a condition holds for the component's part.

    `{namespace}`, `{name}` and `{data}` in an argument are those of the resource and the path of the component's data.
    `settings` leads to the container's own extraArgs, volumeMounts and image. `flags` are flags with a value there.
    `arguments` leads to more arguments, which stand outside the settings.
    With `mounts_data` it mounts what the main one does. `image` is the user of its image, which differs between
    operators for a reloader. With `licensed` the operator makes it only where `acceptEULA` in its settings is true or
    the resource has a license (read in the operator's source).
    """

    name: str
    when: Condition = True
    init: bool = False
    args: tuple[str, ...] = ()
    settings: Path = ()
    flags: tuple[tuple[str, Path], ...] = ()
    arguments: Path = ()
    mounts_data: bool = False
    licensed: bool = False
    image: ImageUser = _NOT_KNOWN


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """One component.

    name        also the prefix of the names of its Deployments, StatefulSets and DaemonSets (`vmselect-NAME`;
                `NAME-vmselect` where the resource has `useLegacyNaming`)
    writes      where it writes, or Nothing
    path        leads from the resource to the component's own part; the resource's `spec` is the root
    main        the main container, if it has not the component's name
    label       the value of app.kubernetes.io/name on its workload and pods, if that is not the component's name
    beside      the operator's containers beside the main one
    enabled     when the resource has the component; a part of a cluster must be an object as well
    without_part whether the operator runs the component even where the resource has no part for it
    stateful    when a StatefulSet runs it
    daemonset   when a DaemonSet runs it, and what that changes
    api         when the main container calls the Kubernetes API
    gets_token  whether the operator mounts a token in the main container then; v0.74 forgets some
    image       the user of the main container's image
    listens     the flag of the address that the main container serves at
    unknown     what the API server does with unknown fields in its part
    kind        the kind in whose row it stands
    containers  names of the operator's containers and init containers, the main one first
    """

    name: str
    writes: Data | Nothing
    path: Path = ("spec",)
    main: str = ""
    label: str = ""
    beside: tuple[OperatorContainer, ...] = ()
    enabled: Condition = True
    without_part: bool = False
    stateful: Condition = False
    daemonset: DaemonSetMode | None = None
    api: Condition = False
    gets_token: bool = True
    image: ImageUser = _ROOT
    listens: str = "httpListenAddr"
    unknown: UnknownFields = "dropped"
    kind: str = ""
    containers: tuple[str, ...] = ()

    @property
    def runs_as_root_in_daemonset(self) -> bool:
        return self.daemonset is not None and self.daemonset.runs_as_root

    @property
    def needs_api_in_daemonset(self) -> bool:
        return self.daemonset is not None and self.daemonset.needs_api

    @property
    def images(self) -> dict[str, ImageUser]:
        """The user of the image of each of the operator's containers, by the container's name."""
        return {self.main or self.name: self.image, **{each.name: each.image for each in self.beside}}

    @property
    def controllers(self) -> tuple[Condition, ...]:
        """The conditions that decide which kind of controller runs the component."""
        return (self.stateful, self.daemonset.when) if self.daemonset else (self.stateful,)

    @property
    def fields(self) -> tuple[Path, ...]:
        """The fields of the component's part that its row names."""
        paths = paths_of([*self.controllers, self.api, *(each.when for each in self.beside)])
        settings = tuple(path for each in self.beside for path in (each.settings, each.arguments) if path)
        if isinstance(self.writes, Nothing):
            return paths + settings
        data = self.writes
        return (*paths, *settings, *data.moves_mount, *data.moves_flag, *data.claims, *paths_of([data.claimable]))

    def part_of(self, spec: Any) -> dict[str, Any]:
        """The component's own part of a resource's spec, {} when it is absent."""
        for field in self.path[1:]:
            spec = spec.get(field) if isinstance(spec, dict) else None
        return spec if isinstance(spec, dict) else {}

    def runs_in(self, spec: dict[str, Any]) -> bool:
        """Whether the resource has this component."""
        if len(self.path) == 1 or self.without_part:
            return True
        return isinstance(spec.get(self.path[1]), dict) and holds(self.enabled, spec)

    def controller_in(self, part: dict[str, Any]) -> Controller:
        """The kind of controller that runs the component, by its own part of the spec."""
        if self.daemonset and holds(self.daemonset.when, part):
            return "DaemonSet"
        return "StatefulSet" if holds(self.stateful, part) else "Deployment"


class Child(msgspec.Struct, frozen=True):
    """A kind that a parent makes; its spec stands under `field` in each zone and in zoneCommon.

    A parent makes the child whether anything stands there or not. It has a `shared` child once, at `spec.FIELD`, for
    all zones, unless `spec.FIELD.enabled` is false. It makes a `backend` in each zone, one kind of them: the one that
    `spec.backendType` names, else the `default` one. `turns_on` are fields that the operator sets to true in the child.
    `without` are fields of the child's kind that the parent does not have there: the API server drops them.
    `unknown` is what it does with fields that no kind has.
    """

    kind: str
    field: str
    shared: bool = False
    backend: bool = False
    default: bool = False
    turns_on: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    unknown: UnknownFields = "dropped"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind that makes pods (`components`), or other resources that do (`children`).

    `version` is the API version in which it is stored.
    """

    kind: str
    version: str
    plural: str
    components: tuple[Component, ...] = ()
    children: tuple[Child, ...] = ()


def _reloader(*, when: Condition = True, reads_secret: bool = True) -> tuple[OperatorContainer, ...]:
    """The containers that write the component's configuration again after a change; most read it from a Secret."""
    args = ("--config-secret-name={namespace}/{name}",) if reads_secret else ()
    return (
        OperatorContainer(name="config-reloader", when=when, args=args, arguments=("configReloaderExtraArgs",)),
        OperatorContainer(name="config-init", when=when, init=True, args=args),
    )


_BACKUP_PATH = "-storageDataPath={data}"
_BACKUP = (
    OperatorContainer(
        name="vmbackuper",
        when=Present(("vmBackup",)),
        args=(_BACKUP_PATH,),
        settings=("vmBackup",),
        flags=(("dst", ("destination",)),),
        mounts_data=True,
        licensed=True,
        image=_ROOT,
    ),
    OperatorContainer(
        name="vmbackuper-restore",
        when=When(("vmBackup", "restore", "onStart", "enabled")),
        init=True,
        args=("restore", _BACKUP_PATH),
        settings=("vmBackup",),
        mounts_data=True,
        image=_ROOT,
    ),
)


def _kind(kind: str, version: str, *components: Component, plural: str = "") -> Kind:
    """The row of a kind that makes pods; it completes what follows from the row in each component."""
    completed = [
        msgspec.structs.replace(
            each,
            kind=kind,
            main=each.main or each.name,
            label=each.label or each.name,
            containers=(each.main or each.name, *(container.name for container in each.beside)),
        )
        for each in components
    ]
    return Kind(kind=kind, version=version, plural=plural or f"{kind.lower()}s", components=tuple(completed))


def _balancer(name: str) -> Component:
    """The load balancer of a cluster: a vmauth that reads a ConfigMap."""
    return Component(
        name=name,
        path=("spec", "requestsLoadBalancer", "spec"),
        main="vmauth",
        label=f"{name}-vmauth-balancer",
        enabled=When(("requestsLoadBalancer", "enabled")),
        writes=Nothing("it passes requests on"),
        unknown="kept",
    )


def _parent(kind: str, version: str, *children: Child) -> Kind:
    return Kind(kind=kind, version=version, plural=kind.lower(), children=children)


_STORAGE_PATH: Path = ("storageDataPath",)
_QUEUE_PATH: Path = ("remoteWriteSettings", "tmpDataPath")


def _single_data(path: str) -> Data:
    return Data(volume="data", path=path, flag="storageDataPath", moves_flag=(_STORAGE_PATH,))


def _storage_data(name: str) -> Data:
    return Data(volume=f"{name}-db", path=f"/{name}-data", flag="storageDataPath", moves_mount=(_STORAGE_PATH,))


_PASSES_ON = Nothing("it passes data on to the storage nodes")
_QUERIES = Nothing("it queries the storage nodes and holds results in memory")

KINDS: tuple[Kind, ...] = (
    _kind(
        "VMAgent",
        "v1beta1",
        Component(
            name="vmagent",
            writes=Data(
                volume="persistent-queue-data",
                path="/tmp/vmagent-remotewrite-data",  # noqa: S108 - the operator's path
                flag="remoteWrite.tmpDataPath",
                moves_flag=(_QUEUE_PATH,),
                claims=(("statefulStorage",),),
                claimable=When(("statefulMode",)),
            ),
            beside=_reloader(when=Unless(("ingestOnlyMode",))),
            stateful=When(("statefulMode",)),
            daemonset=DaemonSetMode(when=When(("daemonSetMode",))),
            api=True,
        ),
    ),
    _kind(
        "VMSingle",
        "v1beta1",
        Component(
            name="vmsingle",
            writes=_single_data("/victoria-metrics-data"),
            beside=(*_BACKUP, *_reloader(when=When(("ingestOnlyMode",), equals=False))),
            api=When(("ingestOnlyMode",), equals=False),
            gets_token=False,
        ),
    ),
    _kind(
        "VMAlert",
        "v1beta1",
        Component(
            name="vmalert",
            writes=Nothing("it holds the state of alerts in memory and writes results to a remote storage"),
            beside=_reloader(reads_secret=False),
        ),
    ),
    _kind(
        "VMAlertmanager",
        "v1beta1",
        Component(
            name="vmalertmanager",
            main="alertmanager",
            writes=Data(volume="vmalertmanager-{name}-db", path="/alertmanager", flag="storage.path"),
            beside=_reloader(),
            stateful=True,
            image=_NOBODY,
            listens="web.listen-address",
        ),
    ),
    _kind(
        "VMAuth",
        "v1beta1",
        Component(
            name="vmauth",
            writes=Nothing("it passes requests on"),
            beside=_reloader(),
            unknown="kept at the top",
        ),
    ),
    _kind(
        "VLogs",
        "v1beta1",
        Component(name="vlogs", writes=_single_data("/victoria-metrics-data"), unknown="kept"),
        plural="vlogs",
    ),
    _kind("VLSingle", "v1", Component(name="vlsingle", writes=_single_data("/victoria-logs-data"))),
    _kind(
        "VLAgent",
        "v1",
        Component(
            name="vlagent",
            writes=Data(
                volume="tmp-data", path="/vlagent-data", flag="tmpDataPath", moves_flag=(_QUEUE_PATH, ("tmpDataPath",))
            ),
            stateful=True,
            daemonset=DaemonSetMode(
                when=When(("k8sCollector", "enabled")),
                needs_api=True,
                runs_as_root=True,
                data_path="/var/lib/vlagent-data",
                reads=(HostPath("varlog", "/var/log"), HostPath("varlib", "/var/lib")),
            ),
            gets_token=False,
        ),
    ),
    _kind(
        "VTAgent",
        "v1",
        Component(
            name="vtagent",
            writes=Data(
                volume="tmp-data", path="/vtagent-data", flag="tmpDataPath", moves_flag=(_QUEUE_PATH, ("tmpDataPath",))
            ),
            stateful=True,
        ),
    ),
    _kind("VTSingle", "v1", Component(name="vtsingle", writes=_single_data("/victoria-traces-data"))),
    _kind(
        "VMAnomaly",
        "v1",
        Component(
            name="vmanomaly",
            writes=Data(volume="vmanomaly-storage", path="/storage"),
            stateful=True,
            image=_NOT_KNOWN,
        ),
        plural="vmanomalies",
    ),
    _kind(
        "VMCluster",
        "v1beta1",
        Component(
            name="vmstorage",
            path=("spec", "vmstorage"),
            writes=_storage_data("vmstorage"),
            beside=_BACKUP,
            stateful=True,
        ),
        Component(
            name="vmselect",
            path=("spec", "vmselect"),
            writes=Data(
                volume="vmselect-cachedir",
                path="/cache",
                flag="cacheDataPath",
                moves_mount=(("cacheMountPath",),),
                claims=(("storage",), ("persistentVolume",)),
            ),
            stateful=True,
        ),
        Component(name="vminsert", path=("spec", "vminsert"), writes=_PASSES_ON),
        _balancer("vmclusterlb"),
    ),
    _kind(
        "VLCluster",
        "v1",
        Component(name="vlstorage", path=("spec", "vlstorage"), writes=_storage_data("vlstorage"), stateful=True),
        Component(name="vlselect", path=("spec", "vlselect"), writes=_QUERIES),
        Component(name="vlinsert", path=("spec", "vlinsert"), writes=_PASSES_ON),
        _balancer("vlclusterlb"),
    ),
    _kind(
        "VTCluster",
        "v1",
        Component(name="vtstorage", path=("spec", "storage"), writes=_storage_data("vtstorage"), stateful=True),
        Component(name="vtselect", path=("spec", "select"), writes=_QUERIES),
        Component(name="vtinsert", path=("spec", "insert"), writes=_PASSES_ON),
        _balancer("vtclusterlb"),
    ),
    _kind(
        "VMEstimator",
        "v1",
        Component(
            name="vmestimator-storage",
            path=("spec", "storage"),
            main="vmestimator",
            writes=Nothing("it holds its estimations in memory"),
            without_part=True,
            stateful=True,
        ),
        Component(
            name="vmestimator-select",
            path=("spec", "select"),
            main="vmestimator",
            writes=Nothing("it queries the storage nodes and holds results in memory"),
        ),
    ),
    _parent(
        "VMDistributed",
        "v1alpha1",
        Child("VMAgent", "vmagent", turns_on=("ingestOnlyMode",), without=("daemonSetMode", "insertPorts")),
        Child("VMCluster", "vmcluster", backend=True, default=True, unknown="kept"),
        Child("VMSingle", "vmsingle", backend=True, unknown="kept"),
        Child("VMAuth", "vmauth", shared=True, unknown="kept at the top"),
    ),
    _parent(
        "VLDistributed",
        "v1alpha1",
        Child("VLAgent", "vlagent", without=("k8sCollector", "syslogSpec", "tmpDataPath")),
        Child("VLCluster", "vlcluster", backend=True, default=True, unknown="kept"),
        Child("VLSingle", "vlsingle", backend=True, unknown="kept"),
        Child("VMAuth", "vmauth", shared=True, unknown="kept at the top"),
    ),
)


def check_table(kinds: Iterable[Kind]) -> tuple[Kind, ...]:
    """The rows, if every row has its components and where they write, and no name occurs twice.

    Raises:
        ValueError: a row is incomplete or contradicts another one; the message names it.

    """
    rows = tuple(kinds)
    components = [component for row in rows for component in row.components]
    _check_unique("kind", [row.kind for row in rows])
    _check_unique("component", [component.name for component in components])
    _check_unique("label", [component.label for component in components])
    for row in rows:
        if bool(row.components) == bool(row.children):
            raise ValueError(f"{row.kind}: a row must have either components or children")
        for child in row.children:
            if not any(child.kind == each.kind and each.components for each in rows):
                raise ValueError(f"{row.kind}: its child {child.kind} has no components")
    for component in components:
        if isinstance(component.writes, Nothing) and not component.writes.because.strip():
            raise ValueError(f"{component.name}: the row must say why the component writes nothing")
        _check_unique(f"container of {component.name}", component.containers)
    return rows


def _check_unique(what: str, names: Iterable[str]) -> None:
    known: set[str] = set()
    for name in names:
        if name in known:
            raise ValueError(f"{what} {name!r} stands twice in the component table")
        known.add(name)


check_table(KINDS)

COMPONENTS: tuple[Component, ...] = tuple(component for row in KINDS for component in row.components)

BY_KIND: dict[str, tuple[Component, ...]] = {row.kind: row.components for row in KINDS if row.components}
"""The components of each kind that makes pods."""

BY_LABEL: dict[str, Component] = {component.label: component for component in COMPONENTS}

PARENTS: dict[str, dict[str, Child]] = {
    row.kind: {child.kind: child for child in row.children} for row in KINDS if row.children
}
"""The children of each kind that makes other resources, by their kind."""

DATA_FLAGS = frozenset(each.writes.flag for each in COMPONENTS if isinstance(each.writes, Data) and each.writes.flag)
"""Flags of main containers for the path where they write."""


def component_of(kind: str, cr_name: str, workload_name: str, label: str) -> Component | None:
    """The component of a resource that a workload belongs to: by the workload's name, else by its own label."""
    candidates = BY_KIND.get(kind, ())
    if len(candidates) == 1:
        return candidates[0]
    for component in candidates:
        if workload_name in {f"{component.name}-{cr_name}", f"{cr_name}-{component.name}"}:
            return component
    return next((component for component in candidates if component.label == label), None)
