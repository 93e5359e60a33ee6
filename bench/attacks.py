"""One tenant attacks, another one is the victim: `python -m bench.attacks`.

Each row is one attack on a server of its own, and what it costs the victim: memory of the process, connections,
answers. With `--beside PATH` the vmguard of another checkout is attacked as well. Figures are bytes, counts and
waits.
"""

import argparse
import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import httpx

from bench.contestants import Contestant, Ground, running
from bench.recorded import cases, prepared
from tests.support.costly_resources import costly_distributed
from webhook.admission.admission_review import review_of


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

    @property
    def log(self) -> Path:
        return self.ground.folder / f"{Path(self.contestant.name).name}.log"

    @property
    def operations(self) -> str:
        """The address of the operations listener."""
        lines = map(json.loads, self.log.read_text().splitlines())
        address: str = next(line["operations"] for line in lines if line["message"] == "serving")
        return address

    def connect(self, seconds: float = 60) -> HTTPSConnection:
        return HTTPSConnection("localhost", self.port, context=self.ground.trusted(), timeout=seconds)

    def plain(self) -> socket.socket:
        """A TCP connection of the attacker, which has an address of its own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=("127.0.0.2", 0))

    def secured(self) -> socket.socket:
        """As `plain`, with a complete handshake."""
        return self.ground.trusted().wrap_socket(self.plain(), server_hostname="localhost")

    def ask(self, path: str, body: bytes, seconds: float = 60) -> int:
        """The HTTP status of one request on a connection of its own."""
        connection = self.connect(seconds)
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


def _unfinished_bodies(server: Victim) -> str:
    """60 requests whose bodies of 6.9 MB lack one byte; memory while they are open."""
    size = 6_900_000
    head = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    def send() -> socket.socket:
        connection = server.secured()
        with suppress(OSError):
            connection.sendall(head % (size + 1) + b" " * size)
        return connection

    server.ask("/mutate", server.pod)
    before = server.contestant.resident()
    with _held(send, 60):
        time.sleep(2)
        return f"{server.contestant.resident() - before:+.0f} MiB"


def _shut_out(connect: Callable[[Victim], socket.socket]) -> Callable[[Victim], str]:
    """1,100 connections of one client; how many of 20 reviews of another one are answered, each on a new connection."""

    def measured(server: Victim) -> str:
        with _held(lambda: connect(server), 1100):
            answered = 0
            for _ in range(20):
                with suppress(OSError, HTTPException):
                    answered += server.ask("/mutate", server.pod, seconds=5) == 200
            return f"{answered} of 20"

    return measured


def _garbage(server: Victim) -> str:
    """500 connections that send no HTTP; lines that they leave in the log."""
    for _ in range(500):
        connection = server.secured()
        connection.sendall(b"garbage\r\n\r\n")
        connection.close()
    time.sleep(1)
    return f"{len([line for line in server.log.read_text().splitlines() if 'warning' in line])} lines"


def _resources(made: Callable[[str], dict[str, Any]]) -> Callable[[Victim], str]:
    """24 connections of dry-run creates of a costly resource; how long others wait meanwhile."""

    def attack(server: Victim, number: int, over: threading.Event) -> None:
        connection = server.connect()
        name = f"attack-{number}"
        body = review_of(made(name), uid=name, namespace="attacker", name=name)
        while not over.is_set():
            try:
                connection.request("POST", "/validate", body, {"Content-Type": "application/json"})
                connection.getresponse().read()
            except (OSError, HTTPException):
                connection.close()
        connection.close()

    def measured(server: Victim) -> str:
        over = threading.Event()
        attackers = [threading.Thread(target=attack, args=(server, number, over)) for number in range(24)]
        for each in attackers:
            each.start()
        time.sleep(3)
        with httpx.Client(trust_env=False, timeout=60) as client:
            pod = _longest(lambda: server.ask("/mutate", server.pod))
            ready = _longest(lambda: client.get(f"{server.operations}/readyz"))
        over.set()
        for each in attackers:
            each.join()
        return f"pod {pod}, /readyz {ready}"

    return measured


def _many_volumes(name: str) -> dict[str, Any]:
    """A VMSingle of 1.4 MB."""
    volumes = [{"name": ""} for _ in range(117_000)]
    return {**costly_distributed(name, "attacker"), "kind": "VMSingle", "spec": {"volumes": volumes}}


def _longest(ask: Callable[[], Any]) -> str:
    """The longest of 10 waits, and how many of them brought no answer."""
    waits, unanswered = [], 0
    for _ in range(10):
        begun = time.monotonic()
        try:
            ask()
        except (OSError, HTTPException, httpx.HTTPError):
            unanswered += 1
        waits.append(time.monotonic() - begun)
    return f"{max(waits) * 1000:.0f} ms{f' ({unanswered} of 10 not answered)' if unanswered else ''}"


@contextmanager
def _files(soft: int = 0) -> Iterator[None]:
    """The usual soft limit of open files for a server that starts inside; 0 is as many as are allowed."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft or hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@contextmanager
def _held(connect: Callable[[], socket.socket], count: int) -> Iterator[None]:
    """So many connections, as far as the server takes them."""
    there = []
    for _ in range(count):
        with suppress(OSError):
            there.append(connect())
    try:
        yield
    finally:
        for each in there:
            each.close()


ATTACKS: dict[str, tuple[str, Callable[[Victim], str]]] = {
    "40 pods with an owner name of 2.9 MB each": ("memory of each replica, for ever", _owner_names),
    "60 bodies of 6.9 MB that never end": ("memory of each replica", _unfinished_bodies),
    "1,100 idle connections": ("reviews of another client that are answered", _shut_out(lambda s: s.secured())),
    "1,100 connections without a TLS handshake": (
        "reviews of another client that are answered",
        _shut_out(lambda server: server.plain()),
    ),
    "500 connections that send garbage": ("the log of the node", _garbage),
    "24 connections that create a VMDistributed of 25 KB": (
        "longest wait of a pod, and of /readyz",
        _resources(lambda name: costly_distributed(name, "attacker")),
    ),
    "24 connections that create a VMSingle of 1.4 MB": (
        "longest wait of a pod, and of /readyz",
        _resources(_many_volumes),
    ),
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
                with _files(1024), running(name, ground) as contestant, _files():
                    figures.append(measured(Victim(contestant, ground, chosen[0].review)))
            print(f"| {attack} | {victim} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
