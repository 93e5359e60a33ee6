"""A pod as a resource stands for it: what the operator would make of a component, as far as security rules read it.

It has the containers that the newest operator makes and the user's own, their arguments that name paths, volumes and
mounts, and no security context but what the user wrote into single containers. Rules are run over it when a person
applies the resource; what a pod must look like is not said here. Pure.

Source: operator v0.54 and v0.74, and recorded pods, which the tests hold it against.
"""

import posixpath
from typing import Any, Literal

import msgspec

from webhook.policy.json_access import Raw, laid_over, object_of, objects_of, texts_of
from webhook.policy.rules.api_access import TOKEN_PATH, TOKEN_VOLUME, VOLUME
from webhook.policy.workload import Workload

READ = (
    "cacheMountPath",
    "containers",
    "daemonSetMode",
    "extraArgs",
    "hostNetwork",
    "initContainers",
    "k8sCollector",
    "livenessProbe",
    "persistentVolume",
    "podMetadata",
    "readinessProbe",
    "remoteWriteSettings",
    "startupProbe",
    "statefulMode",
    "statefulStorage",
    "storage",
    "storageDataPath",
    "tmpDataPath",
    "vmBackup",
    "volumeMounts",
    "volumes",
)
"""The fields of a component's part that are read here, beside those that postures read."""


class Data(msgspec.Struct, frozen=True):
    """Where a component writes: the operator's own volume, the flag that names its path, and the default path.

    `follows` are fields of the resource that move path and mount together; `leaves` those that move the path alone, so
    that the user must mount something there. `storage` are the fields that ask for a claim.
    """

    volume: str
    flag: str
    path: str
    follows: tuple[str, ...] = ()
    leaves: tuple[tuple[str, ...], ...] = ()
    storage: tuple[str, ...] = ("storage",)


_STORAGE_PATH = ("storageDataPath",)
_QUEUE_PATH = ("remoteWriteSettings", "tmpDataPath")

DATA: dict[str, Data] = {
    "vmsingle": Data("data", "storageDataPath", "/victoria-metrics-data", leaves=(_STORAGE_PATH,)),
    "vlogs": Data("data", "storageDataPath", "/victoria-metrics-data", leaves=(_STORAGE_PATH,)),
    "vlsingle": Data("data", "storageDataPath", "/victoria-logs-data", leaves=(_STORAGE_PATH,)),
    "vtsingle": Data("data", "storageDataPath", "/victoria-traces-data", leaves=(_STORAGE_PATH,)),
    "vmstorage": Data("vmstorage-db", "storageDataPath", "/vmstorage-data", _STORAGE_PATH),
    "vlstorage": Data("vlstorage-db", "storageDataPath", "/vlstorage-data", _STORAGE_PATH),
    "vtstorage": Data("vtstorage-db", "storageDataPath", "/vtstorage-data", _STORAGE_PATH),
    "vmselect": Data(
        "vmselect-cachedir", "cacheDataPath", "/cache", ("cacheMountPath",), storage=("storage", "persistentVolume")
    ),
    "vmagent": Data(
        "persistent-queue-data",
        "remoteWrite.tmpDataPath",
        "/tmp/vmagent-remotewrite-data",  # noqa: S108 - the operator's path
        leaves=(_QUEUE_PATH,),
        storage=("statefulStorage",),
    ),
    "vlagent": Data("tmp-data", "tmpDataPath", "/vlagent-data", leaves=(_QUEUE_PATH, ("tmpDataPath",))),
    "vmalertmanager": Data("vmalertmanager-db", "storage.path", "/alertmanager"),
    "vmanomaly": Data("vmanomaly-storage", "", "/storage"),
}

_COLLECTED = (
    {"name": "varlog", "hostPath": {"path": "/var/log"}},
    {"name": "varlib", "hostPath": {"path": "/var/lib"}},
)
_COLLECTOR_PATH = "/var/lib/vlagent-data"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_RELOADS = frozenset({"vmauth", "vmalertmanager"})
_TOKEN = f"{VOLUME}-xxxxx"


class PredictedPod(msgspec.Struct, frozen=True):
    """One pod: raw, and what its component keeps on disk (None where that is nothing, or is not kept).

    `made` are the names of the containers that the operator makes, patched by the user or not.
    """

    workload: Workload
    pod: Raw
    claim: str | None = None
    made: frozenset[str] = frozenset()

    @property
    def in_daemonset(self) -> bool:
        part = self.workload.component.part_of(self.workload.spec)
        return _in_daemonset(self.workload.component.name, part)


def predict(workload: Workload) -> PredictedPod:
    """The pod that a workload stands for; whatever is no object or list where one belongs counts as absent."""
    component = workload.component
    part = component.part_of(workload.spec)
    daemonset = _in_daemonset(component.name, part)
    arguments: dict[str, str] = {}
    main: Raw = {"name": component.main}
    volumes: list[Raw] = []
    claim = _add_data(component.name, part, daemonset, arguments, main, volumes)
    arguments |= {str(flag): str(value) for flag, value in object_of(part.get("extraArgs")).items()}
    main["args"] = [f"-{flag}={value}" for flag, value in arguments.items()]
    main["volumeMounts"] = _merged_mounts(main.get("volumeMounts", []), objects_of(part.get("volumeMounts")))
    main |= {probe: part[probe] for probe in _PROBES if isinstance(part.get(probe), dict)}
    users = objects_of(part.get("volumes"))
    containers, init = [main], []
    if _has_reloader(component.name, part):
        reads = [f"--config-secret-name={workload.namespace}/{workload.name}"]
        containers.append({"name": "config-reloader", "args": reads})
        init.append({"name": "config-init", "args": reads})
    if isinstance(part.get("vmBackup"), dict) and "vmbackuper" in component.containers:
        containers.append({"name": "vmbackuper"})
    spec: Raw = {
        "securityContext": {},
        "containers": _merged(containers, objects_of(part.get("containers"))),
        "initContainers": _merged(init, objects_of(part.get("initContainers"))),
        "volumes": [*(each for each in volumes if each["name"] not in texts_of(users, "name")), *users],
    }
    if part.get("hostNetwork") is True:
        spec["hostNetwork"] = True
    _give_token(spec)
    metadata = object_of(part.get("podMetadata"))
    annotations = {str(key): value for key, value in object_of(metadata.get("annotations")).items()}
    pod: Raw = {"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": annotations}, "spec": spec}
    return PredictedPod(workload, pod, claim, texts_of((*containers, *init), "name"))


def _in_daemonset(component: str, part: Raw) -> bool:
    if component == "vlagent":
        return object_of(part.get("k8sCollector")).get("enabled") is True
    return component == "vmagent" and part.get("daemonSetMode") is True


def _has_reloader(component: str, part: Raw) -> bool:
    return component in _RELOADS or (component == "vmagent" and part.get("ingestOnlyMode") is not True)


def _add_data(
    component: str,
    part: Raw,
    daemonset: bool,  # noqa: FBT001 - a fact of the component
    arguments: dict[str, str],
    main: Raw,
    volumes: list[Raw],
) -> str | None:
    """Add path, mount and volume of the component's data; the name of the volume where a claim keeps it."""
    data = DATA.get(component)
    if data is None:
        return None
    moved = next((path for place in data.leaves if (path := _said(part, place))), "")
    collects = daemonset and component == "vlagent"
    default = _COLLECTOR_PATH if collects else data.path
    path = next((said for field in data.follows if (said := _said(part, (field,)))), default)
    if data.flag:
        arguments[data.flag] = moved or path
    claimed = _claimed(part, data, component)
    if moved and data.volume not in texts_of(objects_of(part.get("volumes")), "name"):
        return None
    main["volumeMounts"] = [{"name": data.volume, "mountPath": posixpath.join("/", moved or path)}]
    source: Raw = {"persistentVolumeClaim": {"claimName": data.volume}} if claimed else {"emptyDir": {}}
    if collects:
        source = {"hostPath": {"path": path}}
        volumes += _COLLECTED
        main["volumeMounts"] += [
            {"name": each["name"], "mountPath": each["hostPath"]["path"], "readOnly": True}  # type: ignore[index]
            for each in _COLLECTED
        ]
    volumes.append({"name": data.volume, **source})
    return data.volume if claimed else None


def _claimed(part: Raw, data: Data, component: str) -> bool:
    if component == "vmagent" and part.get("statefulMode") is not True:
        return False
    asked = [part[field] for field in data.storage if isinstance(part.get(field), dict)]
    return bool(asked) and asked[0].get("emptyDir") is None


def _said(part: Raw, place: tuple[str, ...]) -> str:
    value: Any = part
    for field in place:
        value = value.get(field) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _merged(made: list[Raw], users: list[Raw]) -> list[Raw]:
    """The operator's containers with the user's: one of the same name is a strategic merge patch over it."""
    by_name = {each["name"]: each for each in made}
    for each in users:
        name = each.get("name")
        if not isinstance(name, str):
            continue
        by_name[name] = _patched(by_name[name], each) if name in by_name else dict(each)
    return list(by_name.values())


def _patched(base: Raw, patch: Raw) -> Raw:
    mounts = _merged_mounts(objects_of(base.get("volumeMounts")), objects_of(patch.get("volumeMounts")))
    return {**laid_over(base, patch), "volumeMounts": mounts}


def _merged_mounts(made: list[Raw], users: list[Raw]) -> list[Raw]:
    paths = texts_of(users, "mountPath")
    return [*(mount for mount in made if str(mount.get("mountPath")) not in paths), *users]


def _give_token(spec: Raw) -> None:
    """Give a token to every container that mounts nothing at its path, as the API server does."""
    groups: tuple[Literal["containers", "initContainers"], ...] = ("containers", "initContainers")
    for group in groups:
        for container in spec[group]:
            mounts = objects_of(container.get("volumeMounts"))
            if not any(mount.get("mountPath") == TOKEN_PATH for mount in mounts):
                mounts = [*mounts, {"name": _TOKEN, "mountPath": TOKEN_PATH, "readOnly": True}]
            container["volumeMounts"] = mounts
    spec["volumes"].append({**TOKEN_VOLUME, "name": _TOKEN})
