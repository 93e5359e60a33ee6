"""The cost of one review inside the process, as a multiple of decoding it: `python bench/line.py`.

It sends the recorded reviews through the admission callable: decode, facts from files, decision, answer, metrics, a log
to nowhere. In the same run, msgspec decodes the same bytes into plain objects, and `jsonpatch.make_patch` makes a patch
from the pod before and after. Quote the ratios; the times depend on the machine.
"""

import asyncio
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonpatch
import msgspec

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from webhook.offline.file_facts import FileFacts  # noqa: E402 - after the path is set
from webhook.server.admission_handler import AdmissionHandler  # noqa: E402
from webhook.server.lifecycle import State  # noqa: E402
from webhook.settings import Settings  # noqa: E402
from webhook.telemetry.log import Log  # noqa: E402
from webhook.telemetry.metrics import Metrics  # noqa: E402

ROUNDS = 15


def main() -> None:
    """Print the medians and their ratios."""
    cases = sorted(path.parent for path in (ROOT / "tests" / "golden").glob("*/review.json"))
    bodies = [(case / "review.json").read_bytes() for case in cases]
    objects = [item for case in cases for item in msgspec.json.decode((case / "objects.json").read_bytes())["items"]]
    with open("/dev/null", "wb") as nowhere:  # noqa: PTH123 - a stream to keep open
        app = AdmissionHandler(_rest, FileFacts(objects, 37), Settings(), Metrics(), Log("info", nowhere), State())
        pods = [msgspec.json.decode(body)["request"]["object"] for body in bodies]
        ways: dict[str, Callable[[], object]] = {
            "decode only": lambda: [msgspec.json.decode(body) for body in bodies],
            "the whole line": lambda: asyncio.run(_walk(app, bodies)),
            "make_patch": lambda: [jsonpatch.make_patch(pod, _hardened(pod)) for pod in pods[:8]],
        }
        counts = {"decode only": len(bodies), "the whole line": len(bodies), "make_patch": 8}
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, run in ways.items():
                started = time.perf_counter()
                run()
                times[way].append((time.perf_counter() - started) / counts[way] * 1e6)
    base = statistics.median(times["decode only"])
    for way, values in times.items():
        median = statistics.median(values)
        print(f"{way:15} {median:8.1f} us a review  {median / base:6.1f} x decode only")


async def _walk(app: AdmissionHandler, bodies: list[bytes]) -> None:
    for body in bodies:
        await app(_SCOPE, _receiver(body), _send)


_SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/mutate",
    "query_string": b"timeout=10s",
    "headers": [(b"content-type", b"application/json")],
}


def _receiver(body: bytes) -> Callable[[], object]:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _send(message: object) -> None:
    pass


async def _rest(*_: object) -> None:
    pass


def _hardened(pod: dict[str, object]) -> dict[str, object]:
    after = copy.deepcopy(pod)
    after["spec"]["securityContext"] = {"runAsNonRoot": True, "runAsUser": 65534}
    return after


if __name__ == "__main__":
    main()
