"""One tenant attacks, another one is the victim: `python -m bench.attacks`.

Each row is one attack on a server of its own, and what it costs the victim: memory of the process, connections,
answers. With `--beside PATH` the vmguard of another checkout is attacked as well. Figures are bytes and counts.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPSConnection
from typing import Any

from bench.contestants import Contestant, Ground, running
from bench.recorded import cases, prepared


@dataclass(frozen=True)
class Victim:
    """The server under attack."""

    contestant: Contestant
    ground: Ground
    pod: bytes
    """The recorded review of a pod, which is the victim's."""

    @property
    def port(self) -> int:
        return int(self.contestant.url.rpartition(":")[2])

    def connect(self, seconds: float = 60) -> HTTPSConnection:
        return HTTPSConnection("localhost", self.port, context=self.ground.trusted(), timeout=seconds)

    def ask(self, path: str, body: bytes) -> int:
        """The HTTP status of one request on a connection of its own."""
        connection = self.connect()
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def growth(self, attack: Callable[[], Any]) -> str:
        """MiB that the process holds more than before, after an attack that is over."""
        self.ask("/mutate", self.pod)
        before = self.contestant.resident()
        attack()
        self.ask("/mutate", self.pod)
        return f"{self.contestant.resident() - before:+.0f} MiB"


def _owner_names(server: Victim) -> str:
    """40 pods whose owners have names of 2.9 MB."""

    def attack() -> None:
        for number in range(40):
            review = json.loads(server.pod)
            review["request"]["namespace"] = "attacker"
            owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": "u", "controller": True}
            owner["name"] = f"{number}{'x' * 2_900_000}"
            review["request"]["object"]["metadata"]["ownerReferences"] = [owner]
            server.ask("/mutate", json.dumps(review).encode())

    return server.growth(attack)


ATTACKS: dict[str, tuple[str, Callable[[Victim], str]]] = {
    "40 pods with an owner name of 2.9 MB each": ("memory of each replica, for ever", _owner_names),
}
"""What the attacker sends: what it costs whom, and how that is measured."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.attacks", description="one tenant attacks another")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="measure this row only, from 1")
    parser.add_argument("--beside", metavar="PATH", help="and the vmguard of a checkout, first")
    options = parser.parse_args()
    contestants = [*([options.beside] if options.beside else []), "vmguard"]
    chosen = cases()
    print(f"| attacker | victim | {' | '.join(contestants)} |")
    print("|---|---|" + "---|" * len(contestants))
    with prepared(chosen) as ground:
        for number, (attack, (victim, measured)) in enumerate(ATTACKS.items(), 1):
            if options.only not in {None, number}:
                continue
            figures = []
            for name in contestants:
                with running(name, ground) as contestant:
                    figures.append(measured(Victim(contestant, ground, chosen[0].review)))
            print(f"| {attack} | {victim} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
