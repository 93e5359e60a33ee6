"""The load: the Go generator of `bench/load` on a core of its own, so that it is neither the bottleneck nor counted."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.built import binary
from bench.contestants import LOAD_CORE, Contestant, Ground, on_core

CONNECTIONS = 8


@dataclass(frozen=True)
class Round:
    """What one round of load came to: reviews a second, and microseconds of the server's CPU a review."""

    reviews: float
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.reviews / self.seconds

    @property
    def cpu_each(self) -> float:
        return self.cpu / self.reviews * 1e6


def load(contestant: Contestant, ground: Ground, files: Sequence[Path], *options: str) -> Round:
    """One round: `files` are review bodies, `options` the generator's (`-seconds 3`, `-reviews 1000`, `-cut 100`)."""
    words = [
        str(binary("load")),
        "-url",
        f"{contestant.url}/mutate?timeout=10s",
        "-ca",
        str(ground.certificates / "ca.crt"),
    ]
    words += ["-connections", str(CONNECTIONS), f"-uid={str(contestant.name != 'bare').lower()}", *options]
    before = contestant.cpu()
    with on_core(LOAD_CORE):
        process = subprocess.Popen([*words, *map(str, files)], stdout=subprocess.PIPE, text=True)
    text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load on {contestant.name} ended with {process.returncode}")
    said = json.loads(text)
    return Round(said["reviews"], said["seconds"], contestant.cpu() - before)
