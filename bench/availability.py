"""Pods that are lost while vmguard restarts, dies or rotates: `python -m bench.availability`.

The long form of `tests/integration/cluster/test_availability.py`: 50 creates a second through a real Service and its
EndpointSlice, with failurePolicy Fail. The controls must lose pods, and end with the first. The network namespace in
which it runs needs root.
"""

import argparse
import tempfile
from pathlib import Path

from tests.support.availability_scenarios import CONTROLS, ONE_POOL, SCENARIOS, availability_plane, played


def main() -> None:
    """Play every scenario and print a row for each."""
    parser = argparse.ArgumentParser(prog="python -m bench.availability", description="pods that are lost")
    parser.add_argument("--creates", type=int, default=3000, help="creates in each scenario, at the least (3000)")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="rows whose name has this text")
    parser.add_argument("--one-pool", action="store_true", help="connections as in Kubernetes up to 1.36")
    options = parser.parse_args()
    chosen = [each for each in (*SCENARIOS, *CONTROLS) if any(text in each.name for text in options.only or [""])]
    if not chosen:
        parser.error(f"there is no such scenario: choose from {', '.join(each.name for each in SCENARIOS + CONTROLS)}")
    print(f"{'scenario':42}{'replicas':>9}{'created':>9}{'refused':>9}{'lost':>6}{'unhardened':>12}{'slowest s':>11}")
    with availability_plane((ONE_POOL,) if options.one_pool else ()) as plane, tempfile.TemporaryDirectory() as folder:
        for number, scenario in enumerate(chosen):
            outcome = played(scenario, plane, Path(folder) / str(number), options.creates)
            print(
                f"{scenario.name:42}{scenario.replicas:9}{outcome.created:9}{len(outcome.refused):9}{outcome.lost:6}"
                f"{len(outcome.unhardened):12}{outcome.slowest:11.2f}",
                flush=True,
            )
            for text in sorted({each[-150:] for each in scenario.faults(outcome)}):
                print(f"    {text}", flush=True)


if __name__ == "__main__":
    main()
