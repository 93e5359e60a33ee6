"""What the decision cache saves of vmguard's CPU for each pod: `python -m bench.pods_of_one_owner`.

In a real control plane, the ReplicaSet of a recorded strict VMSingle is scaled to many pods and back, again and again.
One vmguard with the cache and one without it serve it in turn, each in its own namespace and registered as shipped.
Only the CPU of vmguard's process counts.
"""

import argparse
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx

from bench.contestants import Contestant, Ground, code_of, started
from bench.recorded import prepared
from tests.controlplane.api import wait_for
from tests.controlplane.plane import ControlPlane, control_plane
from tests.controlplane.registration import LABEL, registered
from tests.controlplane.stand_in_operator import recreate
from tests.support.golden import ROOT, Case
from tests.support.server import environment, free_port

SINGLE = Case(ROOT / "strict--v0.53.0-to-v0.54.0-strict--vmsingle-relabel--vmsingle-t")
NO_KEYS = """
import sys
import webhook.admit
from webhook.cli.main import main
webhook.admit.key_of = lambda *_: None
sys.exit(main())
"""
WITH, WITHOUT = "with", "without"
WAYS = {WITH: ["-m", "webhook.cli.main"], WITHOUT: ["-c", NO_KEYS]}
"""How Python starts vmguard; without the cache no pod has a key."""

_HITS = re.compile(r"^vmguard_decision_cache_hits_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Served:
    """One vmguard, and the Deployment that it serves."""

    server: Contestant
    operations: str
    plane: ControlPlane
    namespace: str
    deployment: str

    def scale(self, replicas: int) -> None:
        """Scale the Deployment, and wait until it has so many pods and vmguard has seen its last changes."""
        change = {"spec": {"replicas": replicas}}
        self.plane.api.patch("apps/v1", "Deployment", self.deployment, change, self.namespace)

        def settled() -> bool:
            pods = self.plane.api.list("v1", "Pod", self.namespace)
            return sum("deletionTimestamp" not in pod["metadata"] for pod in pods) == replicas

        wait_for(settled, f"{replicas} pods", 120, 0.5)
        time.sleep(1)

    def cost(self, pods: int) -> float:
        """Milliseconds of vmguard's CPU for each of so many new pods."""
        self.scale(0)
        before = cpu_of(self.server.process.pid)
        self.scale(pods)
        return (cpu_of(self.server.process.pid) - before) / pods * 1000

    def hits(self) -> float:
        """Pods that got a cached decision so far."""
        found = _HITS.search(httpx.get(f"{self.operations}/metrics").text)
        assert found
        return float(found[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pods_of_one_owner", description="the decision cache's share")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each way (default 15)")
    parser.add_argument("--pods", type=int, default=300, help="pods a round (default 300)")
    options = parser.parse_args()
    results: dict[str, list[float]] = {way: [] for way in WAYS}
    with prepared() as ground, control_plane() as plane, ExitStack() as stack:
        plane.install_resources()
        served = {way: stack.enter_context(_serving(way, plane, ground)) for way in WAYS}
        for number in range(options.rounds + 1):
            for way in WAYS if number % 2 else reversed(WAYS):
                cost = served[way].cost(options.pods)
                if number:
                    results[way].append(cost)
        hits = served[WITH].hits() / (options.pods * (options.rounds + 1))
        assert served[WITHOUT].hits() == 0
    print(f"{options.pods} pods of one ReplicaSet, {options.rounds} rounds in turn; vmguard's CPU in ms a pod")
    for way, rounds in results.items():
        print(f"{way:10}{statistics.median(rounds):8.3f}   ({min(rounds):.3f} to {max(rounds):.3f})")
    ratios = [one / other for one, other in zip(results[WITH], results[WITHOUT], strict=True)]
    cheaper = sum(ratio < 1 for ratio in ratios)
    print(f"with / without: median {statistics.median(ratios):.3f} of each round's own; below 1 in {cheaper} rounds")
    print(f"hits: {hits:.1%} of the pods")


@contextmanager
def _serving(way: str, plane: ControlPlane, ground: Ground) -> Iterator[Served]:
    namespace = plane.namespace(way, {LABEL: way})
    operations = f"127.0.0.1:{free_port()}"
    own = {"VMGUARD_LISTEN": f"127.0.0.1:{free_port()}", "VMGUARD_OPS_LISTEN": operations}
    words = [sys.executable, *WAYS[way], "serve", "--kubeconfig", str(plane.kubeconfig())]
    words += ["--cert-dir", str(ground.certificates)]
    own["POD_NAMESPACE"] = namespace  # with a Lease of its own each leads, and scans
    variables = {**environment(**own), **code_of("vmguard", ground)}
    with started(way, ground, words, variables) as server, registered(plane, server.url, ground.authority(), way):
        made = recreate(SINGLE, plane.api, way)
        assert made.pod()["spec"]["securityContext"]["runAsNonRoot"] is True
        yield Served(server, f"http://{operations}", plane, namespace, made.one("Deployment")["metadata"]["name"])


def cpu_of(pid: int) -> float:
    """Seconds of CPU that all threads of a process took so far, to the nanosecond: Linux's clock of that process."""
    return time.clock_gettime(~pid << 3 | 2)


if __name__ == "__main__":
    main()
