"""The pod that the operator will make for a component of a resource, predicted as far as security rules read it.

It has the containers that the newest operator makes and the user's own, the arguments that name paths, volumes and
mounts. It has no security context except those that the user wrote into single containers. All that differs between
components comes from the component table. Pure.

Source: operator v0.54 and v0.74; tests compare the prediction with recorded pods.
"""

import posixpath
import shlex
from collections.abc import Iterable

import msgspec

from webhook.policy.components import Component, DaemonSetMode, Data, OperatorContainer
from webhook.policy.conditions import Path, holds, text_at, value_at
from webhook.policy.json_access import Raw, laid_over, object_of, objects_of, texts_of
from webhook.policy.posture import Posture
from webhook.policy.rules.token_injectors import LABELS
from webhook.policy.token_volume import PLUGIN_PREFIX, TOKEN_PATH, TOKEN_VOLUME, VOLUME, is_token_path
from webhook.policy.workload import Workload

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

PORTS: tuple[tuple[str, Path], ...] = (
    ("httpInternalListenAddr", ("internalListenPort",)),
    ("clusternativeListenAddr", ("clusterNativeListenPort",)),
    ("vminsertAddr", ("vmInsertPort",)),
    ("vmselectAddr", ("vmSelectPort",)),
    ("graphiteListenAddr", ("insertPorts", "graphitePort")),
    ("influxListenAddr", ("insertPorts", "influxPort")),
    ("opentsdbHTTPListenAddr", ("insertPorts", "openTSDBHTTPPort")),
    ("opentsdbListenAddr", ("insertPorts", "openTSDBPort")),
)
"""Flags of main containers that name an address to listen at, and the fields with its port."""

CONFIGURED_PORTS: tuple[Path, ...] = (("monitoring", "pull", "port"), ("server", "port"))
"""Fields with ports that a main container reads from its configuration file."""

_SYSLOG = (("syslog.listenAddr.tcp", "tcpListeners"), ("syslog.listenAddr.udp", "udpListeners"))

ACCEPTS = "acceptEULA"

INNER_FIELDS = frozenset(
    [
        *(ACCEPTS, "listenPort", "metadata", "repository"),
        *(path[-1] for _, path in PORTS),
        *(field for _, field in _SYSLOG),
        *(field for _, *inner in CONFIGURED_PORTS for field in inner),
    ]
)
"""The fields that a prediction reads within others, beside those that the table of components names."""

FIELDS = (
    "claimTemplates",
    "containers",
    "extraArgs",
    "hostNetwork",
    "image",
    "port",
    "syslogSpec",
    *dict.fromkeys(path[0] for path in (*(path for _, path in PORTS), *CONFIGURED_PORTS)),
    "initContainers",
    "podMetadata",
    "volumeMounts",
    "volumes",
    *PROBES,
)
"""The fields of every component's part that a prediction reads, beside those that its row in the table names."""

_LONGEST_PORT = 5

_TOKEN = f"{VOLUME}-xxxxx"

_SHORT = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds"}


class PredictedPod(msgspec.Struct, frozen=True):
    """One pod, raw, with the workload that it belongs to and its posture.

    `claim` is the volume of its component's data if that is on a PersistentVolumeClaim. `operator_containers` are the
    names of the containers that the operator makes, whether the user patches them or not.
    """

    workload: Workload
    posture: Posture
    pod: Raw
    claim: str | None = None
    operator_containers: frozenset[str] = frozenset()

    @property
    def spec(self) -> Raw:
        spec: Raw = self.pod["spec"]
        return spec

    @property
    def as_argument(self) -> str:
        """Its namespace and workload as arguments of kubectl, which takes the first pod of a workload."""
        workload = self.workload
        short = _SHORT[workload.workload]
        return shlex.join(("-n", workload.namespace, f"{short}/{workload.component.name}-{workload.name}"))

    @property
    def containers(self) -> int:
        """How many containers and init containers it has."""
        return len(self.spec["containers"]) + len(self.spec["initContainers"])


class _Storage(msgspec.Struct, frozen=True):
    """What the operator adds to a pod for its data: path, volumes, mounts, and the volume on a claim, if any."""

    path: str = ""
    volumes: tuple[Raw, ...] = ()
    mounts: tuple[Raw, ...] = ()
    claim: str | None = None


def predict(workload: Workload, posture: Posture) -> PredictedPod:
    """The pod of a workload, with the controller that its spec requires.

    Anything that is not an object or a list where one belongs counts as absent.
    """
    component = workload.component
    part = component.part_of(workload.spec)
    workload = msgspec.structs.replace(workload, workload=component.controller_in(part))
    storage = _storage(workload, part)
    users = [*objects_of(part.get("volumes")), *_claimed_by_templates(workload, part)]
    containers: list[Raw] = [_main(component, part, storage)]
    init: list[Raw] = []
    for each in component.beside:
        if holds(each.when, part) and _is_licensed(each, workload, part):
            (init if each.init else containers).append(_beside(each, workload, part, storage))
    spec: Raw = {
        "securityContext": {},
        "containers": _merged(containers, objects_of(part.get("containers"))),
        "initContainers": _merged(init, objects_of(part.get("initContainers"))),
        "volumes": [*(each for each in storage.volumes if each["name"] not in texts_of(users, "name")), *users],
    }
    if part.get("hostNetwork") is True:
        spec["hostNetwork"] = True
    give_token(spec)
    metadata = object_of(part.get("podMetadata"))
    annotations, labels = (
        {str(key): value for key, value in object_of(metadata.get(field)).items() if isinstance(value, str)}
        for field in ("annotations", "labels")
    )
    # Any other label would only make pods differ that are judged alike.
    read = {"annotations": annotations, "labels": {key: labels[key] for key in LABELS & labels.keys()}}
    pod: Raw = {"apiVersion": "v1", "kind": "Pod", "metadata": read, "spec": spec}
    return PredictedPod(workload, posture, pod, storage.claim, texts_of((*containers, *init), "name"))


def _is_licensed(row: OperatorContainer, workload: Workload, part: Raw) -> bool:
    """Whether the operator makes a container that may need a license; the license of a parent is not known here."""
    given = value_at(workload.spec, ("license", "key")) or value_at(workload.spec, ("license", "keyRef"))
    accepted = value_at(part, (*row.settings, ACCEPTS)) is True
    return not row.licensed or accepted or bool(given) or workload.parentage.parent is not None


def _main(component: Component, part: Raw, storage: _Storage) -> Raw:
    """The component's main container."""
    flags = _listening(component, part)
    if isinstance(component.writes, Data) and component.writes.flag:
        flags[component.writes.flag] = storage.path
    mounts = _merged_mounts(storage.mounts, objects_of(part.get("volumeMounts")))
    probes = {probe: part[probe] for probe in PROBES if isinstance(part.get(probe), dict)}
    args = _flags(flags | object_of(part.get("extraArgs")))
    ports = [
        {"name": ".".join(path), "containerPort": int(port)}
        for path in CONFIGURED_PORTS
        if (port := text_at(part, path)).isdecimal() and len(port) <= _LONGEST_PORT
    ]
    declared: Raw = {"ports": ports} if ports else {}
    return {"name": component.main, **_image(part), "args": args, **declared, "volumeMounts": mounts, **probes}


def _listening(component: Component, part: Raw) -> Raw:
    """The flags of the addresses that the main container listens at, where the resource sets the port."""
    ports = ((flag, value_at(part, path)) for flag, path in ((component.listens, ("port",)), *PORTS))
    flags = {flag: f":{port}" for flag, port in ports if isinstance(port, str | int) and port}
    for flag, listeners in _SYSLOG:
        found = [each.get("listenPort") for each in objects_of(value_at(part, ("syslogSpec", listeners)))]
        if found:
            flags[flag] = ",".join(f":{port}" for port in found)
    return flags


def _image(settings: Raw) -> Raw:
    """The image of a container of the operator, where the resource names one."""
    repository = text_at(settings, ("image", "repository"))
    return {"image": repository} if repository else {}


def _beside(row: OperatorContainer, workload: Workload, part: Raw, storage: _Storage) -> Raw:
    """A container that the operator makes beside the main one, by its row in the table."""
    settings = object_of(value_at(part, row.settings)) if row.settings else {}
    args = [arg.format(namespace=workload.namespace, name=workload.name, data=storage.path) for arg in row.args]
    args += _flags({flag: text for flag, path in row.flags if (text := text_at(settings, path))})
    more = object_of(settings.get("extraArgs")) | object_of(value_at(part, row.arguments) if row.arguments else None)
    container: Raw = {"name": row.name, "args": [*args, *_flags(more)]}
    container |= _image(settings)
    if row.mounts_data:
        users = [*objects_of(part.get("volumeMounts")), *objects_of(settings.get("volumeMounts"))]
        container["volumeMounts"] = _merged_mounts(storage.mounts, users)
    return container


def _flags(arguments: Raw) -> list[str]:
    return [f"-{flag}={value}" for flag, value in arguments.items()]


def _storage(workload: Workload, part: Raw) -> _Storage:
    """What the operator adds for the data of a component."""
    mode = workload.component.daemonset if workload.in_daemonset else None
    volumes: list[Raw] = []
    mounts: list[Raw] = []
    for each in mode.reads if mode else ():
        volumes.append({"name": each.volume, "hostPath": {"path": each.path}})
        mounts.append({"name": each.volume, "mountPath": each.path, "readOnly": True})
    data = workload.component.writes
    if not isinstance(data, Data):
        return _Storage("", tuple(volumes), tuple(mounts))
    volume = data.volume.format(name=workload.name)
    moved = _first_text(part, data.moves_flag)
    path = moved or _first_text(part, data.moves_mount) or _default_path(data, mode)
    if moved and volume not in texts_of(objects_of(part.get("volumes")), "name"):
        return _Storage(path, tuple(volumes), tuple(mounts))
    claim = volume if _claimed(data, part) else None
    source: Raw = {"persistentVolumeClaim": {"claimName": volume}} if claim else {"emptyDir": {}}
    if mode and mode.data_path:
        source = {"hostPath": {"path": mode.data_path}}
    mount: Raw = {"name": volume, "mountPath": posixpath.join("/", path)}
    return _Storage(path, (*volumes, {"name": volume, **source}), (mount, *mounts), claim)


def _claimed_by_templates(workload: Workload, part: Raw) -> list[Raw]:
    """The volumes that a StatefulSet makes of the resource's own templates of claims."""
    templates = objects_of(part.get("claimTemplates")) if workload.workload == "StatefulSet" else []
    names = [text_at(each, ("metadata", "name")) for each in templates]
    return [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names if name]


def _default_path(data: Data, mode: DaemonSetMode | None) -> str:
    return (mode.data_path if mode else "") or data.path


def _claimed(data: Data, part: Raw) -> bool:
    """Whether the data are on a PersistentVolumeClaim: the first storage that is configured is no emptyDir."""
    storages = [storage for path in data.claims if isinstance(storage := value_at(part, path), dict)]
    return bool(storages) and storages[0].get("emptyDir") is None and holds(data.claimable, part)


def _first_text(part: Raw, paths: tuple[Path, ...]) -> str:
    return next((text for path in paths if (text := text_at(part, path))), "")


def _merged(operators: list[Raw], users: list[Raw]) -> list[Raw]:
    """The operator's containers with the user's: one of the same name is a strategic merge patch over it."""
    by_name = {each["name"]: each for each in operators}
    for each in users:
        name = each.get("name")
        if not isinstance(name, str):
            continue
        by_name[name] = _patched(by_name[name], each) if name in by_name else dict(each)
    return list(by_name.values())


def _patched(base: Raw, patch: Raw) -> Raw:
    mounts = _merged_mounts(objects_of(base.get("volumeMounts")), objects_of(patch.get("volumeMounts")))
    return {**laid_over(base, patch), "volumeMounts": mounts}


def _merged_mounts(operators: Iterable[Raw], users: list[Raw]) -> list[Raw]:
    paths = texts_of(users, "mountPath")
    return [*(mount for mount in operators if str(mount.get("mountPath")) not in paths), *users]


def give_token(spec: Raw) -> None:
    """Give a token to every container that mounts nothing at its path, as the API server does.

    It takes the first volume with the prefix of its own name, whatever that holds.
    """
    names = (text_at(volume, ("name",)) for volume in objects_of(spec["volumes"]))
    adopted = next((name for name in names if name.startswith(PLUGIN_PREFIX)), "")
    for container in (*spec["containers"], *spec["initContainers"]):
        mounts = objects_of(container.get("volumeMounts"))
        if not any(is_token_path(text_at(mount, ("mountPath",))) for mount in mounts):
            mounts = [*mounts, {"name": adopted or _TOKEN, "mountPath": TOKEN_PATH, "readOnly": True}]
        container["volumeMounts"] = mounts
    if not adopted:
        spec["volumes"].append({**TOKEN_VOLUME, "name": _TOKEN})
