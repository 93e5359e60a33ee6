"""The size of the image, and how fast it starts: `python -m bench.image`.

It builds and runs the image like the tests, on the base that replaces the official one. The size is that of the files;
the size that the Dockerfile adds to its base is shown, too. A start lasts from the start of the process to the answer
to its first review. There are three starts: in the container, in the container without byte-code, and in the
environment of this program, which also has compiled code. They take turns, so that all meet the same noise. Medians
count, and ratios are those within a round.
"""

import argparse
import os
import platform
import statistics
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.contestants import code_of
from bench.recorded import prepared
from tests.support.admission_pods import VMSINGLE
from tests.support.container_image import ContainerImage, container_image
from tests.support.debian_base import debian_base
from tests.support.server import LISTEN, Server, environment, running
from webhook.manifests.installation import deployment
from webhook.manifests.roles import InstallationNames

VENV = "environment"
_MB = 1e6

Begin = Callable[[Path], AbstractContextManager[Server]]
"""Starts a server in a new folder."""


def main() -> None:
    """Build the image, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.image", description="what the image weighs, how it starts")
    parser.add_argument("--rounds", type=int, default=9, help="starts of each (default 9)")
    rounds = parser.parse_args().rounds
    with container_image() as image:
        print("\n".join((*sizes(image), *starts(image, rounds))))


def sizes(image: ContainerImage) -> Iterator[str]:
    """The lines about the size."""
    compiled = sum(_size_of_tree(path) for path in (image.root / "usr").rglob("__pycache__"))
    found = {
        "image": _size_of_tree(image.root),
        "base": _size_of_archive(debian_base()),
        "added to the base": _size_of_tree(image.root / "opt") + compiled,
        "of that byte-code of the standard library": compiled,
    }
    for name, size in found.items():
        yield f"MB of files, {name}: {size / _MB:.1f}"


def starts(image: ContainerImage, rounds: int) -> Iterator[str]:
    """The lines about the start."""
    pod = deployment(InstallationNames())["spec"]["template"]["spec"]
    with prepared([VMSINGLE]) as ground:

        def venv(folder: Path) -> AbstractContextManager[Server]:
            options = ["--standalone", "--objects", str(ground.objects), "--cert-dir", str(ground.certificates)]
            variables = {**environment(**LISTEN), **code_of("vmguard", ground)}
            return running(folder, [sys.executable, "-m", "webhook.cli.main", "serve", *options], variables)

        def container(**variables: str) -> Begin:
            return lambda folder: image.standalone(folder, pod, VMSINGLE.objects, **variables)

        ways = {
            VENV: venv,
            "image": container(),
            "image, byte-code not used": container(PYTHONPYCACHEPREFIX="/nowhere"),
        }
        results: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, begin in ways.items():
                seconds = _first_answer(begin)
                if number:
                    results[name].append(seconds)
    yield f"{rounds} starts of each, in turn; medians; the environment has Python {platform.python_version()}"
    yield f"{'':28}{'s':>8}{'x environment':>16}"
    for name, found in results.items():
        ratios = [one / other for one, other in zip(found, results[VENV], strict=True)]
        yield f"{name:28}{statistics.median(found):8.2f}{statistics.median(ratios):16.2f}"


def _first_answer(begin: Begin) -> float:
    """Seconds from the start of a server to its first answer."""
    with TemporaryDirectory() as folder:
        begun = time.monotonic()
        with begin(Path(folder)) as server:
            status = server.ask("POST", "/mutate", VMSINGLE.review)[0]
            seconds = time.monotonic() - begun
    assert status == 200
    return seconds


def _size_of_tree(root: Path) -> int:
    """Bytes of the files below a folder; one with several names counts once."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            status = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - a hundred thousand of them
            found[status.st_dev, status.st_ino] = status.st_size
    return sum(found.values())


def _size_of_archive(path: Path) -> int:
    with tarfile.open(path) as archive:
        return sum(member.size for member in archive if member.isreg())


if __name__ == "__main__":
    main()
