"""The cost of a start, and of an idle server: `python -m bench.start`.

It measures `vmguard serve` from the start of its process to its ready line, beside a bare server and the typed Go
webhook. It measures the offline commands from start to end. The figures are seconds, CPU seconds with those of the
dry-run worker, and MiB of memory; for a server also the CPU without any calls. Commands and checkouts take turns, so
that all meet the same noise; medians count. The code is compiled first, as in an installed package.
"""

import argparse
import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path

from bench.contestants import NAMES, Ground, code_of, cpu_of, resident_of, running, started, vmguard
from bench.recorded import cases, prepared
from tests.controlplane.plane import control_plane
from tests.support.server import environment, free_port


@dataclass(frozen=True)
class Start:
    """One start: seconds, CPU seconds, MiB of the process; of a server MiB of its worker, and idle CPU in ms/s."""

    seconds: float
    cpu: float
    memory: float
    worker: float = 0.0
    idle: float = 0.0


_WITH_PEAK = """
import sys
from pathlib import Path
from webhook.cli.main import main
status = main()
sys.stderr.write(Path("/proc/self/status").read_text())
sys.exit(status)
"""
"""The command line, which tells its own peak of memory: what `wait4` reports begins with that of the parent."""

_STANDALONE = "serve --standalone"
"""The command that the bare server and the typed Go webhook are compared with, too."""

_SETTLED, _IDLE = 2.0, 3.0
"""Seconds after its start in which a server may still have something to do, and in which it is watched then."""

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")

Command = Callable[[str, Ground], Start]
"""Starts one command of one checkout (`vmguard` is this one)."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description="what it takes to start")
    parser.add_argument("--rounds", type=int, default=9, help="starts of each (default 9)")
    parser.add_argument("--beside", action="append", default=[], metavar="PATH", help="and the vmguard of a checkout")
    parser.add_argument("--cluster", action="store_true", help="and serve in a control plane, which must be built")
    options = parser.parse_args()
    chosen = cases()
    pod, objects = str(chosen[0].path / "review.json"), str(chosen[0].path / "objects.json")
    commands: dict[str, Command] = {
        _STANDALONE: _standalone,
        "review": _offline("review", "--objects", objects, pod),
        "level": _offline("level", pod),
        "explain": _offline("explain", "security-context"),
    }
    checkouts = ("vmguard", *options.beside)
    with prepared(chosen) as ground, ExitStack() as stack:
        if options.cluster:
            plane = stack.enter_context(control_plane())
            plane.install_resources()
            commands["serve"] = _in_cluster(str(plane.kubeconfig()))
        results: dict[tuple[str, str], list[Start]] = {}
        for number in range(options.rounds + 1):
            for command, start in commands.items():
                for name in (*NAMES, *options.beside) if command == _STANDALONE else checkouts:
                    result = start(name, ground)
                    if number:
                        results.setdefault((command, name), []).append(result)
    print(f"{options.rounds} starts of each, in turn; medians")
    print(f"{'':20}{'of':16}{'s':>8}{'CPU s':>8}{'MiB':>8}{'worker MiB':>12}{'idle ms/s':>11}")
    for (command, name), starts in results.items():
        seconds, cpu, memory, worker, idle = map(statistics.median, zip(*map(astuple, starts), strict=True))
        print(f"{command:20}{Path(name).name[-15:]:16}{seconds:8.2f}{cpu:8.2f}{memory:8.1f}{worker:12.1f}{idle:11.2f}")


def _standalone(name: str, ground: Ground) -> Start:
    with running(name, ground) as server:
        return _served(server.cold_start, server.process.pid)


def _in_cluster(kubeconfig: str) -> Command:
    def start(name: str, ground: Ground) -> Start:
        listen = {"VMGUARD_LISTEN": f"127.0.0.1:{free_port()}", "VMGUARD_OPS_LISTEN": "127.0.0.1:0"}
        words = vmguard(name, "serve", "--kubeconfig", kubeconfig, "--cert-dir", str(ground.certificates))
        variables = environment(VMGUARD_SHUTDOWN_DELAY="0", **listen) | code_of(name, ground)
        with started(name, ground, words, variables) as server:
            return _served(server.cold_start, server.process.pid)

    return start


def _served(seconds: float, pid: int) -> Start:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    cpu = sum(cpu_of(each) for each in (pid, *map(int, children)))
    memory, worker = resident_of(pid), sum(resident_of(int(child)) for child in children)
    time.sleep(_SETTLED)
    before = _running_time(pid)
    time.sleep(_IDLE)
    return Start(seconds, cpu, memory, worker, (_running_time(pid) - before) / _IDLE)


def _running_time(pid: int) -> float:
    """Milliseconds that the threads of a process have run; finer than `cpu_of`, whose ticks are of 10 ms."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e6


def _offline(*words: str) -> Command:
    def start(name: str, ground: Ground) -> Start:
        command = [vmguard(name)[0], "-c", _WITH_PEAK, *words]
        variables, begun = environment() | code_of(name, ground), time.monotonic()
        with subprocess.Popen(
            command, env=variables, cwd=ground.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr
            told = process.stderr.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds, peak = time.monotonic() - begun, _PEAK.search(told)
        if process.returncode or not peak:
            raise RuntimeError(f"vmguard {' '.join(words)} of {name} ended with {process.returncode}: {told[-2000:]}")
        return Start(seconds, used.ru_utime + used.ru_stime, int(peak[1]) / 1024)

    return start


if __name__ == "__main__":
    main()
