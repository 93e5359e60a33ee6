"""Pods through a real API server, side by side: `python -m bench.pods`.

Recorded strict pods are created, as the controllers would, with nothing that mutates them, with vmguard, with the same
strict fill as a native policy in CEL, and with the typed Go webhook. What counts is the CPU of API server and webhook
a pod. The garbage collector is off, as the owners exist in the webhooks' files only. Every way but the first must make
the oracle's security contexts before it is timed.
"""

import argparse
import base64
import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from typing import Any

from bench.cel_policy import strict_policy
from bench.contestants import Contestant, Ground, cpu_of, running
from bench.recorded import cases, contexts, prepared
from tests.controlplane.api import Api, ApiError, wait_for
from tests.controlplane.plane import API_SERVER, CONTROLLERS, ControlPlane, control_plane
from tests.support.golden import Case, projection

WAYS = ("no webhook", "vmguard", "policy in CEL", "typed-go")
REGISTRATION = "admissionregistration.k8s.io/v1"
AT_A_TIME = 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pods", description="pods through a real API server")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each way (default 3)")
    parser.add_argument("--pods", type=int, default=300, help="pods a round (default 300)")
    options = parser.parse_args()
    known = cases()
    chosen = [case for case in known if case.category == "strict" and _runs_anywhere(case)]
    flags = {CONTROLLERS: ["--controllers=*,-garbage-collector-controller"]}
    with (
        prepared(known) as ground,
        control_plane(flags=flags) as plane,
        ThreadPoolExecutor(AT_A_TIME) as pool,
    ):
        pods = [ready_to_create(plane.api, case) for case in chosen]
        with running("vmguard", ground) as vmguard, running("typed-go", ground) as typed:
            webhooks = {"vmguard": vmguard, "typed-go": typed}
            results: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
            clients = [plane.api_as("admin", ("system:masters",)) for _ in range(AT_A_TIME)]
            for number in range(options.rounds + 1):
                for way in WAYS:
                    with in_force(way, plane, webhooks, ground):
                        agree(way, plane.api, chosen, pods)
                        result = measured(plane, webhooks.get(way), clients, pool, pods, options.pods)
                    if number:
                        results[way].append(result)
    print(
        f"{len(chosen)} recorded strict pods, {options.rounds} rounds of {options.pods} creates, {AT_A_TIME} at a time"
    )
    show(results)


def ready_to_create(api: Api, case: Case) -> dict[str, Any]:
    """A case's pod as its controller would send it, its namespace and service account being there."""
    pod = json.loads(case.review)["request"]["object"]
    namespace, spec = pod["metadata"]["namespace"], pod["spec"]
    account = spec.get("serviceAccountName", "default")
    for thing in ({"kind": "Namespace", "metadata": {"name": namespace}}, _account(namespace, account)):
        with suppress(ApiError):  # another case made it
            api.create({"apiVersion": "v1", **thing})
    wait_for(lambda: api.find("v1", "ServiceAccount", account, namespace), f"the account of {namespace}", 60)
    kept = {
        field: pod["metadata"][field]
        for field in ("namespace", "labels", "annotations", "ownerReferences")
        if field in pod["metadata"]
    }
    volumes = [volume for volume in spec.get("volumes", []) if not volume["name"].startswith("kube-api-access-")]
    for container in (*spec["containers"], *spec.get("initContainers", [])):
        mounts = container.get("volumeMounts", [])
        container["volumeMounts"] = [m for m in mounts if not m["name"].startswith("kube-api-access-")]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**kept, "generateName": "bench-"},
        "spec": {**spec, "volumes": volumes},
    }


def _runs_anywhere(case: Case) -> bool:
    """Whether no DaemonSet runs it: the policy in CEL has one set of fields."""
    return all(item["kind"] != "DaemonSet" for item in case.objects)


def _account(namespace: str, name: str) -> dict[str, Any]:
    return {"kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


@contextmanager
def in_force(way: str, plane: ControlPlane, webhooks: dict[str, Contestant], ground: Ground) -> Iterator[None]:
    """What mutates pods is registered inside, and gone afterwards."""
    if way in webhooks:
        things = [_configuration(webhooks[way], ground)]
    elif way == "policy in CEL":
        things = strict_policy()
    else:
        things = []
    for thing in things:
        plane.api.create(thing)
    try:
        yield
    finally:
        for thing in things:
            plane.api.delete(thing["apiVersion"], thing["kind"], thing["metadata"]["name"])
        time.sleep(1)  # the API server learns of it by a watch


def _configuration(webhook: Contestant, ground: Ground) -> dict[str, Any]:
    bundle = base64.b64encode((ground.certificates / "ca.crt").read_bytes()).decode()
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    hook = {
        "name": "bench.vmguard.example",
        "clientConfig": {"url": f"{webhook.url}/mutate", "caBundle": bundle},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    }
    metadata = {"name": "bench"}
    return {
        "apiVersion": REGISTRATION,
        "kind": "MutatingWebhookConfiguration",
        "metadata": metadata,
        "webhooks": [hook],
    }


def agree(way: str, api: Api, chosen: list[Case], pods: list[dict[str, Any]]) -> None:
    """Wait until a way is in force, and hold each pod that it makes against the oracle's.

    Raises:
        AssertionError: it makes another pod.

    """
    if way == "no webhook":
        return
    wanted = [contexts(case.expected) for case in chosen]

    def made(number: int) -> dict[str, Any]:
        return contexts(projection(api.create(pods[number], dryRun="All")))

    wait_for(lambda: made(0) == wanted[0], f"{way} to be in force", 30, 0.2)
    for number, case in enumerate(chosen):
        assert made(number) == wanted[number], f"{way} on {case.path.name}"


def measured(
    plane: ControlPlane,
    webhook: Contestant | None,
    clients: list[Api],
    pool: ThreadPoolExecutor,
    pods: list[dict[str, Any]],
    count: int,
) -> tuple[float, float]:
    """Pods a second, and milliseconds of CPU of API server and webhook a pod."""
    server = plane.pids()[API_SERVER]

    def cpu() -> float:
        return cpu_of(server) + (webhook.cpu() if webhook else 0.0)

    def create(client: Api, part: list[dict[str, Any]]) -> None:
        for pod in part:
            client.create(pod)

    work = list(islice(cycle(pods), count))
    before, started = cpu(), time.monotonic()
    list(pool.map(create, clients, [work[number::AT_A_TIME] for number in range(AT_A_TIME)]))
    took, used = time.monotonic() - started, cpu() - before
    for namespace in {pod["metadata"]["namespace"] for pod in pods}:
        path = plane.api.path("v1", "Pod", namespace)
        plane.api.request("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
    return count / took, used / count * 1000


def show(results: dict[str, list[tuple[float, float]]]) -> None:
    """Medians, and what each way adds to a pod's creation."""
    base = statistics.median(cpu for _, cpu in results[WAYS[0]])
    print(f"{'':16}{'pods/s':>10}{'CPU ms/pod':>14}{'x no webhook':>14}{'added ms':>12}")
    for way, rounds in results.items():
        rate, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"{way:16}{rate:10.0f}{cpu:14.2f}{cpu / base:14.2f}{cpu - base:12.2f}")


if __name__ == "__main__":
    main()
