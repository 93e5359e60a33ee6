"""How long pods wait while others send large requests: `python -m bench.flood`.

One caller sends recorded pods, one after the other. Others send the largest objects that an API server passes on. These
are updates of a resource of a megabyte, judged in both states, or new pods of a megabyte of a recorded workload. All
wait for their answers; each has a TLS connection of its own.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPSConnection
from typing import Any

from bench.contestants import LOAD_CORE, on_core, running
from bench.recorded import cases, prepared
from webhook.admission.admission_review import review_of
from webhook.policy.custom_resources import GROUP

Dial = Callable[[], HTTPSConnection]
"""Makes a connection of its own to the server."""

_PAUSE = 0.01
"""Seconds between two pods."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description="pods beside what is large")
    parser.add_argument("--seconds", type=float, default=8, help="seconds of each row (default 8)")
    parser.add_argument("--bytes", type=int, default=1_000_000, help="size of a large object (default 1000000)")
    options = parser.parse_args()
    chosen = cases()
    pods = [case.review for case in chosen]
    large = {
        "resources": ("/validate", _updated(options.bytes)),
        "pods": ("/mutate", _grown(json.loads(pods[0]), options.bytes)),
    }
    print(f"recorded pods beside what is large ({options.bytes} bytes), {options.seconds:g} s a row; ms")
    print(f"{'large':12}{'senders':>8}{'answered':>10}{'p50':>8}{'pods':>8}{'p50':>8}{'p99':>8}{'longest':>9}")
    with prepared(chosen) as ground, running("vmguard", ground) as server, on_core(LOAD_CORE):
        dial = partial(HTTPSConnection, "localhost", int(server.url.rpartition(":")[2]), context=ground.trusted())
        for name, senders in [("none", 0), *((name, count) for name in large for count in (1, 4, 16))]:
            taken: list[float] = []
            with _sending(dial, senders, *large.get(name, ("", b"")), taken):
                waited = sorted(_waits(dial, pods, options.seconds))
            middle = f"{statistics.median(taken):8.1f}" if taken else f"{'':8}"
            told = "".join(f"{waited[int(len(waited) * part)]:8.1f}" for part in (0.5, 0.99))
            print(f"{name:12}{senders:8}{len(taken):10}{middle}{len(waited):8}{told}{waited[-1]:9.1f}", flush=True)


def _updated(size: int) -> bytes:
    """An update of a resource with so many host aliases, which are read as plain values twice."""
    aliases = [{"ip": "192.0.2.1", "hostnames": [f"h{number}"]} for number in range(size // 45)]
    thing = {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "VMAgent",
        "metadata": {"name": "large", "namespace": "default"},
        "spec": {"useStrictSecurity": True, "hostAliases": aliases},
    }
    review = json.loads(review_of(thing, uid="large", namespace="default", name="large", operation="UPDATE"))
    review["request"]["oldObject"] = thing
    return json.dumps(review).encode()


def _grown(review: dict[str, Any], size: int) -> bytes:
    """The creation of a recorded pod whose first container has so many variables more."""
    variables = [{"name": f"V{number}", "value": "x"} for number in range(size // 33)]
    review["request"]["object"]["spec"]["containers"][0]["env"] = variables
    return json.dumps(review).encode()


@contextmanager
def _sending(dial: Dial, senders: int, path: str, body: bytes, taken: list[float]) -> Iterator[None]:
    """So many send `body` again and again until the block ends; what each took, in ms, is in `taken`."""
    ended = threading.Event()

    def send() -> None:
        connection = dial()
        while not ended.is_set():
            taken.append(_ask(connection, path, body))

    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _waits(dial: Dial, pods: list[bytes], seconds: float) -> Iterator[float]:
    """What each pod took, in ms."""
    connection = dial()
    end = time.monotonic() + seconds
    number = 0
    while not number or time.monotonic() < end:
        yield _ask(connection, "/mutate", pods[number % len(pods)])
        number += 1
        time.sleep(_PAUSE)


def _ask(connection: HTTPSConnection, path: str, body: bytes) -> float:
    begun = time.monotonic()
    connection.request("POST", f"{path}?timeout=10s", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    took = (time.monotonic() - begun) * 1000
    if answer.status != 200:
        raise RuntimeError(f"{path} answered {answer.status}: {text[:500]!r}")
    return took


if __name__ == "__main__":
    main()
