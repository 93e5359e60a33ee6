"""A crowded cluster: recorded resources and workloads of the operator, made again under many names.

Each round makes one resource, two Deployments and four ReplicaSets of one recorded case. The second Deployment and its
ReplicaSets are old objects of a controller. No controller for them may run.
"""

import asyncio
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.controlplane.plane import ControlPlane
from tests.controlplane.stand_in_operator import portable
from tests.support.golden import CASES, Case

Object = dict[str, Any]

AT_A_TIME = 16
_RECORDED_NAME = re.compile(r"(^|-)t\b")


class Crowd:
    """Makes objects in a control plane, many at a time; `pods` are the pods that ReplicaSets made so could have."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._limit = asyncio.Semaphore(AT_A_TIME)
        context = plane.identities.context(plane.identities.client("admin", ("system:masters",)))
        self._http = httpx.AsyncClient(base_url=plane.url, verify=context, timeout=60, trust_env=False)
        self.pods: list[Object] = []

    async def fill(self, resources: int, namespaces: list[str], prefix: str, *, leftovers: bool = True) -> None:
        """Make so many resources, and twice as many Deployments and four times as many ReplicaSets.

        Without `leftovers` one Deployment and one ReplicaSet of each.
        """
        cases = [case for case in CASES if case.category == "strict" and _chain(case)]
        async with asyncio.TaskGroup() as tasks:
            for number in range(resources):
                case, namespace = cases[number % len(cases)], namespaces[number % len(namespaces)]
                tasks.create_task(self._one(case, namespace, f"{prefix}{number}", leftovers=leftovers))

    async def create_pods(self, copies: int) -> None:
        """Make each of `pods` so many times."""
        async with asyncio.TaskGroup() as tasks:
            for pod in self.pods:
                tasks.create_task(self._pods_of(pod, copies))

    async def _pods_of(self, pod: Object, copies: int) -> None:
        spec = {key: value for key, value in pod["spec"].items() if not key.startswith("serviceAccount")}
        async with self._limit:
            for _ in range(copies):
                await self._create({**pod, "apiVersion": "v1", "kind": "Pod", "spec": spec}, {})

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _one(self, case: Case, namespace: str, name: str, *, leftovers: bool) -> None:
        async with self._limit:
            uids: dict[str, str] = {}
            resource, deployment, replicas = (_renamed(each, name, namespace) for each in _chain(case))
            await self._create(resource, uids)
            for suffix in ("", "-old") if leftovers else ("",):
                owner = _suffixed(deployment, suffix)
                owner["spec"]["replicas"] = 0
                await self._create(owner, uids)
                for generation in ("-before", "") if leftovers else ("",):
                    await self._create(_suffixed(replicas, suffix + generation), uids)
                if not suffix:
                    first = dict(uids)
            self.pods.append(_pod(case, name, namespace, first))

    async def _create(self, recorded: Object, uids: dict[str, str]) -> None:
        thing = portable(recorded, uids)
        namespace = recorded["metadata"]["namespace"]
        path = self._plane.api.path(thing["apiVersion"], thing["kind"], namespace)
        answer = await self._http.post(path, json=thing)
        if not answer.is_success:
            raise RuntimeError(f"{path}: {answer.text}")
        uids[recorded["metadata"].get("uid", "")] = answer.json()["metadata"]["uid"]


def review_of(pod: Object, uid: str = "bench") -> Object:
    """The review that an API server would send of a pod's creation."""
    request = {
        "uid": uid,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": pod["metadata"]["namespace"],
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": []},
        "object": pod,
        "oldObject": None,
        "dryRun": False,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def write_reviews(pods: list[Object], folder: Path) -> list[Path]:
    """One file a pod with its review, as the API server writes JSON."""
    paths = []
    for number, pod in enumerate(pods):
        path = folder / f"review-{number}.json"
        path.write_text(json.dumps(review_of(pod), separators=(",", ":")))
        paths.append(path)
    return paths


def _chain(case: Case) -> tuple[Object, ...]:
    """Resource, Deployment and ReplicaSet of the case's pod; () where something else runs it."""
    by_uid = {each["metadata"].get("uid"): each for each in case.objects}
    chain = []
    thing = json.loads(case.review)["request"]["object"]
    while owner := _controller(thing):
        if owner["uid"] not in by_uid:
            return ()
        thing = by_uid[owner["uid"]]
        chain.insert(0, thing)
    kinds = [each["kind"] for each in chain]
    return tuple(chain) if kinds[1:] == ["Deployment", "ReplicaSet"] else ()


def _controller(thing: Object) -> Object | None:
    owners: Iterator[Object] = iter(thing["metadata"].get("ownerReferences", []))
    return next((owner for owner in owners if owner.get("controller")), None)


def _renamed(thing: Object, name: str, namespace: str) -> Object:
    copied = copy.deepcopy(thing)
    meta = copied["metadata"]
    meta["namespace"] = namespace
    meta["name"] = _RECORDED_NAME.sub(rf"\g<1>{name}", meta["name"])
    for owner in meta.get("ownerReferences", []):
        owner["name"] = _RECORDED_NAME.sub(rf"\g<1>{name}", owner["name"])
    return copied


def _suffixed(thing: Object, suffix: str) -> Object:
    copied = copy.deepcopy(thing)
    copied["metadata"]["name"] += suffix
    return copied


def _pod(case: Case, name: str, namespace: str, uids: dict[str, str]) -> Object:
    pod: Object = json.loads(case.review)["request"]["object"]
    meta = pod["metadata"]
    meta["namespace"] = namespace
    meta["generateName"] = _RECORDED_NAME.sub(rf"\g<1>{name}", meta["generateName"])
    for owner in meta["ownerReferences"]:
        owner["name"] = _RECORDED_NAME.sub(rf"\g<1>{name}", owner["name"])
        owner["uid"] = uids[owner["uid"]]
    return pod
