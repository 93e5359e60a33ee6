"""Instructions of one review, counted by callgrind: `python -m bench.instructions`.

The same servers, load and reviews as `bench.reviews`. A count does not change with what else runs on the machine, so it
shows what a change costs where times do not. Needs valgrind. The kernel's work is not counted.
"""

import argparse
import re
import subprocess
from pathlib import Path

from bench.contestants import Contestant, Ground, command, started
from bench.load import load
from bench.recorded import cases, prepared


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description="instructions of one review")
    parser.add_argument("--only", action="append", choices=("bare", "vmguard"), help="count these contestants only")
    parser.add_argument("--beside", action="append", default=[], metavar="PATH", help="and the vmguard of a checkout")
    parser.add_argument("--times", type=int, default=8, help="how often each review counts (default 8)")
    options = parser.parse_args()
    chosen = cases()
    files = [case.path / "review.json" for case in chosen]
    counts: dict[str, float] = {}
    with prepared(chosen) as ground:
        for name in (*(options.only or ("bare", "vmguard")), *options.beside):
            counts[name] = counted(name, ground, files, options.times)
    bare = counts.get("bare")
    for name, count in counts.items():
        ratio = f"{bare / count:10.3f} of bare" if bare else ""
        print(f"{name[-20:]:20}{count / 1000:10.1f} thousand instructions{ratio}")


def counted(name: str, ground: Ground, files: list[Path], times: int) -> float:
    """Instructions of one contestant a review, after all reviews came three times.

    What opening the connections takes is in both counts, and so not in their difference.
    """
    words, variables = command(name, ground)
    valgrind = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    with started(name, ground, [*valgrind, *words], {**variables, "PYTHONHASHSEED": "0"}) as server:
        _send(server, ground, files, 2)
        _control(server, "--instr=on")
        _send(server, ground, files, 1)  # valgrind translates the code again
        few, many = _of_load(server, ground, files, 1), _of_load(server, ground, files, 1 + times)
    return (many - few) / times / len(files)


def _of_load(server: Contestant, ground: Ground, files: list[Path], times: int) -> int:
    """Instructions while each review comes so many times, and the connections are opened."""
    before = _total(server)
    _send(server, ground, files, times)
    return _total(server) - before


def _send(server: Contestant, ground: Ground, files: list[Path], times: int) -> None:
    load(server, ground, files, "-reviews", str(times * len(files)))


def _total(server: Contestant) -> int:
    """Instructions of all threads since valgrind counts."""
    threads = re.findall(r"^ *Th +\d+ +([\d,]+)", _control(server, "-e"), re.MULTILINE)
    return sum(int(thread.replace(",", "")) for thread in threads)


def _control(server: Contestant, *words: str) -> str:
    line = ["callgrind_control", *words, str(server.process.pid)]
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


if __name__ == "__main__":
    main()
