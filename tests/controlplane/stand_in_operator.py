"""Plays the operator, which cannot run here: makes again what a recorded one made, under a live resource's UID.

It makes resources, service accounts and workloads from a golden case; ReplicaSets and pods are left to the real
controllers. It never decides what a pod should look like: templates are taken as recorded, without security settings
where the recorded operator had none.
"""

import copy
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from tests.controlplane.api import Api, ApiError, Object, wait_for
from tests.support.golden import CASES, Case
from webhook.policy.custom_resources import BY_KIND, GROUP

_SERVERS_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "finalizers", "namespace")
"""The metadata that the API server writes, or that no controller here would remove."""

_OF_THE_FIRST_JOB = re.compile(r"(batch\.kubernetes\.io/)?(controller-uid|job-name)")
_GIVEN_TOKEN = re.compile(r"kube-api-access-[a-z0-9]{5}")
_RECORDED_NAME = re.compile(r"(^|-)t$")
"""Every recorded resource is called `t`, and what is made from it `PREFIX-t`."""


@dataclass
class Recreated:
    """A case that was made again: each object as the API server answered."""

    api: Api
    namespace: str
    objects: list[Object] = field(default_factory=list)

    def one(self, kind: str) -> Object:
        """The object of that kind."""
        return next(each for each in self.objects if each["kind"] == kind)

    def pod(self) -> Object:
        """The pod as it came out of admission; waited for where a controller makes it."""
        if self.objects[-1]["kind"] == "Pod":
            return self.objects[-1]
        return wait_for(lambda: self.api.list("v1", "Pod", self.namespace), f"a pod in {self.namespace}")[0]


def recreate(case: Case, api: Api, namespace: str) -> Recreated:
    """Make everything of a case in a namespace that is ready for pods and that has nothing else in it.

    Raises:
        ApiError: the API server, or a webhook that it asks, refuses one of the objects.

    """
    made = Recreated(api, namespace)
    uids: dict[str, str] = {}
    for recorded in _to_make(case):
        answer = api.create(portable(recorded, uids), namespace)
        uids[recorded["metadata"].get("uid", "")] = answer["metadata"]["uid"]
        made.objects.append(answer)
    return made


def portable(recorded: Object, uids: Mapping[str, str]) -> Object:
    """A recorded object in the form of a new create request, with the current UIDs of its owners."""
    thing = copy.deepcopy(recorded)
    thing.pop("status", None)
    meta, spec = thing["metadata"], thing.get("spec", {})
    for name in _SERVERS_OWN:
        meta.pop(name, None)
    for owner in meta.get("ownerReferences", []):
        owner["uid"] = uids.get(owner["uid"], owner["uid"])
    match thing["kind"]:
        case "CronJob":
            spec["suspend"] = True  # its recorded Job is made; another each minute would only be in the way
        case "Job":
            spec.pop("selector")
            for labels in (meta["labels"], spec["template"]["metadata"]["labels"]):
                for name in [name for name in labels if _OF_THE_FIRST_JOB.fullmatch(name)]:
                    del labels[name]
        case "Pod":
            _take_given_token(spec)
    return thing


def _to_make(case: Case) -> list[Object]:
    """What must be made of a case, owners before what they own, and accounts before who uses them."""
    objects = {each["metadata"]["uid"]: each for each in case.objects}
    ordered: dict[str, Object] = {}

    def add(uid: str) -> None:
        thing = objects.get(uid)
        if thing is None or uid in ordered:
            return
        for owner in thing["metadata"].get("ownerReferences", []):
            add(owner["uid"])
        ordered[uid] = thing

    for uid in sorted(objects, key=lambda uid: objects[uid]["kind"] != "ServiceAccount"):  # or the first pod is refused
        add(uid)
    made = [each for each in ordered.values() if not _comes_by_itself(each)]
    has_workload = any("template" in each.get("spec", {}) for each in made)
    return made if has_workload else [*made, case.request["object"]]


def _comes_by_itself(thing: Object) -> bool:
    owners = {owner["kind"] for owner in thing["metadata"].get("ownerReferences", [])}
    match thing["kind"]:
        case "Namespace":
            return True
        case "ServiceAccount":
            return thing["metadata"]["name"] == "default"
        case "ReplicaSet":
            return "Deployment" in owners
        case _:
            return False


def _take_given_token(spec: Object) -> None:
    """Take away the token that the API server gave to the recorded pod; it gives each pod its own."""
    spec["volumes"] = [each for each in spec.get("volumes", []) if not _GIVEN_TOKEN.fullmatch(each["name"])]
    for container in (*spec["containers"], *spec.get("initContainers", [])):
        mounts = container.get("volumeMounts", [])
        container["volumeMounts"] = [each for each in mounts if not _GIVEN_TOKEN.fullmatch(each["name"])]


def operate(api: Api, stop: threading.Event) -> None:
    """Until `stop`, make for every new resource the workload that an operator without security settings made.

    Of the resource only kind and name count. What a refusal leaves unmade stays so, and what a resource's deletion
    leaves is the real garbage collector's.
    """
    cases = {case.kind: case for case in reversed(CASES) if case.category == "strict"}
    served: set[str] = set()
    while not stop.wait(0.5):
        for kind, case in cases.items():
            for resource in api.list(f"{GROUP}/{BY_KIND[kind].storage}", kind):
                if resource["metadata"]["uid"] not in served:
                    served.add(resource["metadata"]["uid"])
                    _serve(case, resource, api)


def _serve(case: Case, resource: Object, api: Api) -> None:
    name, namespace = resource["metadata"]["name"], resource["metadata"]["namespace"]
    recorded = next(each for each in case.objects if each["kind"] == case.kind)
    uids = {recorded["metadata"]["uid"]: resource["metadata"]["uid"]}
    for each in _to_make(case):
        if each["kind"] in {"ServiceAccount", "Deployment", "StatefulSet", "DaemonSet"}:
            with suppress(ApiError):  # it is there, or the namespace goes
                api.create(_renamed(portable(each, uids), name), namespace)


def _renamed(thing: Object, name: str) -> Object:
    if isinstance(thing, dict):
        return {key: _renamed(value, name) for key, value in thing.items()}
    if isinstance(thing, list):
        return [_renamed(value, name) for value in thing]
    return _RECORDED_NAME.sub(rf"\g<1>{name}", thing) if isinstance(thing, str) else thing
