"""Reviews over TLS, side by side: `python -m bench.reviews`.

The recorded reviews go over 8 persistent TLS connections to three servers: a bare ASGI server, `vmguard serve
--standalone`, and a typed controller-runtime webhook in Go. Each server has one core, and the generator has another
one. The servers take turns, a round each. Quote the ratios; the times depend on the machine. Before the measurement,
both webhooks must fill the strict cases in the same way.
"""

import argparse
import json
import statistics
from base64 import b64decode
from contextlib import ExitStack
from pathlib import Path

import jsonpatch

from bench.contestants import NAMES, Contestant, Ground, running
from bench.load import Round, load
from bench.recorded import cases, contexts, prepared
from tests.support.golden import Case, projection


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.reviews", description="reviews over TLS, side by side")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each contestant (default 7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds of a round (default 2)")
    parser.add_argument("--only", action="append", choices=NAMES, help="measure these contestants only")
    parser.add_argument("--beside", action="append", default=[], metavar="PATH", help="and the vmguard of a checkout")
    options = parser.parse_args()
    chosen = cases()
    with prepared(chosen) as ground, ExitStack() as stack:
        contestants = [
            stack.enter_context(running(name, ground)) for name in (*(options.only or NAMES), *options.beside)
        ]
        same = agree([each for each in contestants if each.name in {"vmguard", "typed-go"}], chosen, ground)
        files = [case.path / "review.json" for case in chosen]
        results = measure(contestants, files, ground, options.rounds, options.seconds)
    print(f"{len(chosen)} recorded reviews, {options.rounds} rounds of {options.seconds:g} s; {same} strict pods alike")
    show(results)


def measure(
    contestants: list[Contestant], files: list[Path], ground: Ground, rounds: int, seconds: float
) -> dict[str, list[Round]]:
    """The rounds of each contestant, in turn, after one that warms up."""
    results: dict[str, list[Round]] = {contestant.name: [] for contestant in contestants}
    for number in range(rounds + 1):
        for contestant in contestants:
            result = load(contestant, ground, files, "-seconds", str(seconds))
            if number:
                results[contestant.name].append(result)
    return results


def show(results: dict[str, list[Round]]) -> None:
    """Medians, and each contestant's share of the bare server's throughput and multiple of its CPU."""
    print(
        f"{'':16}{'CPU us/review':>15}{'reviews/CPU s':>15}{'reviews/s':>12}{'x CPU of bare':>15}{'share of bare':>15}"
    )
    medians = {
        name: (statistics.median(r.cpu_each for r in rounds), statistics.median(r.rate for r in rounds))
        for name, rounds in results.items()
    }
    base = medians.get("bare")
    for name, (cpu, rate) in medians.items():
        ratios = f"{cpu / base[0]:15.2f}{base[0] / cpu:15.3f}" if base else ""
        print(f"{name[-16:]:16}{cpu:15.1f}{1e6 / cpu:15.0f}{rate:12.0f}{ratios}")
    if {"vmguard", "typed-go"} <= medians.keys():
        ours, theirs = medians["vmguard"], medians["typed-go"]
        print(
            f"vmguard / typed-go: {theirs[0] / ours[0]:.1f} x by CPU a review, {ours[1] / theirs[1]:.1f} x by reviews/s"
        )


def agree(webhooks: list[Contestant], chosen: list[Case], ground: Ground) -> int:
    """How many recorded strict pods were asked about; every webhook must make the oracle's security contexts of them.

    Raises:
        AssertionError: a webhook makes another pod.

    """
    strict = [case for case in chosen if case.category.startswith("strict")]
    client = ground.client()
    for case in strict:
        wanted = contexts(case.expected)
        for webhook in webhooks:
            headers = {"Content-Type": "application/json"}
            response = client.post(f"{webhook.url}/mutate", content=case.review, headers=headers).json()["response"]
            pod = json.loads(case.review)["request"]["object"]
            admitted = jsonpatch.apply_patch(pod, json.loads(b64decode(response.get("patch", "W10="))))
            assert contexts(projection(admitted)) == wanted, f"{webhook.name} on {case.path.name}"
    return len(strict)


if __name__ == "__main__":
    main()
