"""What it takes to start: `python -m bench.start`.

`vmguard serve` from its process's start to its ready line, and the offline commands from start to end: seconds, CPU
seconds with those of the dry-run worker, and MiB of memory. Commands and checkouts take turns, so that all meet the
same noise; medians count. Code is compiled before, as it is where a package is installed.
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

from bench.contestants import Ground, code_of, cpu_of, resident_of, running, started, vmguard
from bench.recorded import cases, prepared
from tests.controlplane.plane import control_plane
from tests.support.server import environment, free_port


@dataclass(frozen=True)
class Start:
    """One start: seconds, CPU seconds, MiB of the process, and MiB of its dry-run worker (0: there is none)."""

    seconds: float
    cpu: float
    memory: float
    worker: float = 0.0


_WITH_PEAK = """
import sys
from pathlib import Path
from webhook.cli.main import main
status = main()
sys.stderr.write(Path("/proc/self/status").read_text())
sys.exit(status)
"""
"""The command line, which tells its own peak of memory: what `wait4` reports begins with that of the parent."""

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
        "serve --standalone": _standalone,
        "review": _offline("review", "--objects", objects, pod),
        "level": _offline("level", pod),
        "explain": _offline("explain", "security-context"),
    }
    names = ["vmguard", *options.beside]
    with prepared(chosen) as ground, ExitStack() as stack:
        if options.cluster:
            plane = stack.enter_context(control_plane())
            plane.install_resources()
            commands["serve"] = _in_cluster(str(plane.kubeconfig()))
        results: dict[tuple[str, str], list[Start]] = {}
        for number in range(options.rounds + 1):
            for command, start in commands.items():
                for name in names:
                    result = start(name, ground)
                    if number:
                        results.setdefault((command, name), []).append(result)
    print(f"{options.rounds} starts of each, in turn; medians")
    print(f"{'':20}{'of':16}{'s':>8}{'CPU s':>8}{'MiB':>8}{'worker MiB':>12}")
    for (command, name), starts in results.items():
        seconds, cpu, memory, worker = map(statistics.median, zip(*map(astuple, starts), strict=True))
        print(f"{command:20}{Path(name).name[-15:]:16}{seconds:8.2f}{cpu:8.2f}{memory:8.1f}{worker:12.1f}")


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
    return Start(seconds, cpu, resident_of(pid), sum(resident_of(int(child)) for child in children))


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
