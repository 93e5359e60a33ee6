"""A crowded cluster: `python -m bench.scale`.

A real API server has 5,000 resources of the operator, 10,000 Deployments and 20,000 ReplicaSets. It measures how long
vmguard takes to be ready, its memory, and its requests to the API server while pods come and go. It also measures what
the caches cost a review, and how soon a changed resource decides. The same program runs beside it for one small
namespace (`WATCH_NAMESPACE`), with almost empty caches. Each leads on a Lease of its own, and surveys.
"""

import argparse
import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from bench.contestants import Contestant, Ground, started
from bench.crowd import Crowd, review_of, write_reviews
from bench.recorded import prepared
from bench.reviews import measure, show
from tests.controlplane.api import Api
from tests.controlplane.plane import CONTROLLERS, ControlPlane, control_plane
from tests.support.server import environment, free_port
from webhook.policy.custom_resources import GROUP

SMALL = "small"
SMALL_RESOURCES = 100
NAMESPACES = 50
_SETTLED = 15.0
"""Seconds after which discovery is not asked again about definitions that appeared."""

QUIET = {CONTROLLERS: ["--controllers=serviceaccount-controller,root-ca-certificate-publisher-controller"]}
"""No controller that would act on Deployments and ReplicaSets, or collect them."""


def main() -> None:
    """Fill, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description="vmguard in a crowded cluster")
    parser.add_argument("--resources", type=int, default=5000, help="resources of the operator (default 5000)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of pods that come and go (default 10)")
    parser.add_argument("--changes", type=int, default=300, help="changes of a resource (default 300)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of reviews of each (default 5)")
    options = parser.parse_args()
    with prepared() as ground, control_plane(flags=QUIET) as plane, ExitStack() as stack:
        begun = time.monotonic()
        pods = asyncio.run(_fill(plane, options.resources))
        objects = 7 * options.resources
        print(f"{options.resources} resources, {objects} objects, made in {time.monotonic() - begun:.0f} s", flush=True)
        empty = stack.enter_context(_vmguard("caches empty", plane, ground, WATCH_NAMESPACE=SMALL, POD_NAMESPACE=SMALL))
        held = [empty.server.resident()]
        full = stack.enter_context(_vmguard("caches full", plane, ground))
        held.append(full.server.resident())
        print(f"ready after {empty.server.cold_start:.2f} s with caches empty, {full.server.cold_start:.2f} s full")
        files = write_reviews(pods, ground.folder)
        results = measure([empty.server, full.server], files, ground, options.rounds, 2.0)
        show(results)
        held += [empty.server.resident(), full.server.resident()]
        for when, (few, many) in (("at start", held[:2]), ("after reviews", held[2:])):
            print(f"memory {when}: {few:.1f} MiB with caches empty, {many:.1f} full: {many - few:+.1f}")
        _churn(plane.api, full, ground, pods, options.minutes)
        _lag(plane.api, full, ground, pods, options.changes)


class _Vmguard:
    """A vmguard of the cluster and its operations listener."""

    def __init__(self, server: Contestant, operations: str) -> None:
        self.server = server
        self._operations = operations

    def asked(self) -> Counter[str]:
        """Requests to the API server so far, by `VERB RESOURCE`."""
        text = httpx.get(f"{self._operations}/metrics", trust_env=False).text
        labels = r'code="\d+",resource="(\w*)",verb="(\w+)"'
        counts: Counter[str] = Counter()
        for resource, verb, count in re.findall(rf"^vmguard_api_requests_total{{{labels}}} (\S+)$", text, re.MULTILINE):
            counts[f"{verb} {resource or 'discovery'}"] += int(float(count))
        return counts


@contextmanager
def _vmguard(name: str, plane: ControlPlane, ground: Ground, **settings: str) -> Iterator[_Vmguard]:
    operations = f"127.0.0.1:{free_port()}"
    listen = {"VMGUARD_LISTEN": f"127.0.0.1:{free_port()}", "VMGUARD_OPS_LISTEN": operations}
    words = [sys.executable, "-m", "webhook.cli.main", "serve", "--kubeconfig", str(plane.kubeconfig())]
    words += ["--cert-dir", str(ground.certificates)]
    with started(name, ground, words, environment(**listen, **settings)) as server:
        yield _Vmguard(server, f"http://{operations}")


async def _fill(plane: ControlPlane, resources: int) -> list[dict[str, Any]]:
    """Fill the cluster; pods of the small namespace's workloads."""
    plane.install_resources()
    namespaces = [plane.namespace(f"crowd-{number}") for number in range(NAMESPACES)]
    crowd = Crowd(plane)
    try:
        await crowd.fill(SMALL_RESOURCES, [plane.namespace(SMALL)], "s")
        pods = list(crowd.pods)
        await crowd.fill(resources - SMALL_RESOURCES, namespaces, "c")
    finally:
        await crowd.close()
    return pods


def _churn(api: Api, vmguard: _Vmguard, ground: Ground, pods: list[dict[str, Any]], minutes: float) -> None:
    """Count what is asked of the API server while pods of known generations come and go, five a second."""
    client = ground.client()
    for pod in pods:
        client.post(f"{vmguard.server.url}/mutate", json=review_of(pod))
    time.sleep(_SETTLED)
    before, until, count = vmguard.asked(), time.monotonic() + minutes * 60, 0
    while time.monotonic() < until:
        pod = pods[count % len(pods)]
        answer = client.post(f"{vmguard.server.url}/mutate", json=review_of(pod, f"u{count}")).json()
        assert answer["response"]["allowed"], answer
        annotations = {"metadata": {"annotations": {"bench": str(count)}}}
        owner = pod["metadata"]["ownerReferences"][0]["name"]
        api.patch("apps/v1", "ReplicaSet", owner, annotations, pod["metadata"]["namespace"])  # as its status changes
        count += 1
        time.sleep(0.2)
    after = vmguard.asked()
    more = ", ".join(f"{count} {what}" for what, count in sorted((after - before).items()))
    print(f"{count} pods in {minutes:g} minutes: requests to the API server: {more or 'none'}", flush=True)


def _lag(api: Api, vmguard: _Vmguard, ground: Ground, pods: list[dict[str, Any]], changes: int) -> None:
    """Measure from the API server's answer to a change of a resource to the first decision by it."""
    pod = next(pod for pod in pods if pod["metadata"]["generateName"].startswith("vmsingle-"))
    namespace = pod["metadata"]["namespace"]
    name = pod["metadata"]["generateName"].removeprefix("vmsingle-").rpartition("-")[0].rpartition("-")[0]
    client = ground.client()
    lags = []
    for number in range(changes):
        strict = number % 2 == 1
        api.patch(f"{GROUP}/v1beta1", "VMSingle", name, {"spec": {"useStrictSecurity": strict}}, namespace)
        changed = time.monotonic()
        while True:
            response = client.post(f"{vmguard.server.url}/mutate", json=review_of(pod)).json()["response"]
            if ("patch" in response) is strict:
                break
            if time.monotonic() > changed + 30:
                raise RuntimeError(f"no decision by the change in 30 s: {response}")
        lags.append((time.monotonic() - changed) * 1000)
    lags.sort()
    middle, high, longest = lags[len(lags) // 2], lags[int(len(lags) * 0.99)], lags[-1]
    told = f"p50 {middle:.1f} ms, p99 {high:.1f} ms, longest {longest:.1f} ms"
    print(f"{changes} changes of a resource decide after: {told}")


if __name__ == "__main__":
    main()
