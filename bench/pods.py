"""Pods through a real API server, side by side: `python -m bench.pods`.

It creates recorded strict pods like the controllers do, in five ways. These are no webhook, vmguard with its usual
registration (a mutating call for each pod), and vmguard where every namespace enforces deny (also a validating call).
The others are a native policy in CEL with the same strict fill, and the typed Go webhook. The result is the CPU of API
server and webhook for each pod. The garbage collector is off, because the owners are only in the webhooks' files.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from bench.contestants import cpu_of, running
from bench.recorded import cases, prepared
from bench.ways import CEL, NONE, Way, in_force, ways
from tests.controlplane.api import Api, ApiError, wait_for
from tests.controlplane.plane import ADMIN, API_SERVER, CONTROLLERS, ControlPlane, control_plane
from tests.support.golden import Case

AT_A_TIME = 4


@dataclass(frozen=True)
class PodsRound:
    """One round of one way: pods a second, and milliseconds of CPU for each pod."""

    rate: float
    api_server: float
    webhook: float

    @property
    def cpu(self) -> float:
        return self.api_server + self.webhook


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pods", description="pods through a real API server")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each way (default 9)")
    parser.add_argument("--pods", type=int, default=300, help="pods a round (default 300)")
    parser.add_argument("--beside", action="append", default=[], metavar="PATH", help="and the vmguard of a checkout")
    options = parser.parse_args()
    known = cases()
    chosen = [case for case in known if case.category == "strict" and _runs_anywhere(case)]
    flags = {CONTROLLERS: ["--controllers=*,-garbage-collector-controller"]}
    with ExitStack() as stack:
        ground = stack.enter_context(prepared(known))
        plane = stack.enter_context(control_plane(flags=flags))
        pool = stack.enter_context(ThreadPoolExecutor(AT_A_TIME))
        vmguard, typed, *others = (
            stack.enter_context(running(name, ground)) for name in ("vmguard", "typed-go", *options.beside)
        )
        pods = [ready_to_create(plane.api, case) for case in chosen]
        clients = [plane.api_as(*ADMIN) for _ in range(AT_A_TIME)]
        compared = ways(vmguard, typed, others, ground)
        results: dict[str, list[PodsRound]] = {way.name: [] for way in compared}
        for number in range(options.rounds + 1):
            for way in compared if number % 2 else reversed(compared):  # what runs later meets a fuller API server
                with in_force(way, plane.api, chosen, pods):
                    result = measured(plane, way, clients, pool, pods, options.pods)
                if number:
                    results[way.name].append(result)
    print(
        f"{len(chosen)} recorded strict pods, {options.rounds} rounds of {options.pods} creates, {AT_A_TIME} at a time"
    )
    show(compared, results)


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


def measured(
    plane: ControlPlane,
    way: Way,
    clients: Sequence[Api],
    pool: ThreadPoolExecutor,
    pods: Sequence[dict[str, Any]],
    count: int,
) -> PodsRound:
    """Create so many pods, and delete them afterwards."""
    server = plane.pids()[API_SERVER]

    def create(client: Api, part: list[dict[str, Any]]) -> None:
        for pod in part:
            client.create(pod)

    work = list(islice(cycle(pods), count))
    before, started = (cpu_of(server), way.server.cpu() if way.server else 0.0), time.monotonic()
    list(pool.map(create, clients, [work[number::AT_A_TIME] for number in range(AT_A_TIME)]))
    took, after = time.monotonic() - started, (cpu_of(server), way.server.cpu() if way.server else 0.0)
    for namespace in {pod["metadata"]["namespace"] for pod in pods}:
        path = plane.api.path("v1", "Pod", namespace)
        plane.api.request("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
    api_server, webhook = ((end - begin) / count * 1000 for begin, end in zip(before, after, strict=True))
    return PodsRound(count / took, api_server, webhook)


def show(compared: Sequence[Way], results: dict[str, list[PodsRound]]) -> None:
    """Medians; the ratios are medians of each round's own, so that noise that lasts longer than a round is in both."""

    def ratio(way: str, base: str) -> float:
        return statistics.median(one.cpu / other.cpu for one, other in zip(results[way], results[base], strict=True))

    print(
        f"{'':18}{'calls/pod':>10}{'pods/s':>8}{'CPU ms/pod':>12}{'API server':>12}{'webhook':>9}"
        f"{'x no webhook':>14}{'x CEL':>8}"
    )
    for way in compared:
        rounds = results[way.name]
        rate, cpu, api_server, webhook = (
            statistics.median(getattr(each, what) for each in rounds)
            for what in ("rate", "cpu", "api_server", "webhook")
        )
        print(
            f"{Path(way.name).name[-17:]:18}{way.calls:10}{rate:8.0f}{cpu:12.2f}{api_server:12.2f}{webhook:9.2f}"
            f"{ratio(way.name, NONE):14.2f}{ratio(way.name, CEL):8.3f}"
        )


if __name__ == "__main__":
    main()
