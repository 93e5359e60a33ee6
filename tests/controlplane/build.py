"""Builds the programs of a control plane and other tools once on a machine, into the user's cache folder.

One process builds while the others wait for it. A program appears in the cache only when it is complete. Nothing is
written into the module folders. Programs in `KUBEBUILDER_ASSETS` are used instead of building them. As a command it
builds what the tests and `make cluster` need: `python -m tests.controlplane.build [--estimate] [NAME...]`, where a name
is a version of Kubernetes or a tool; the newest version when none is named. With `--estimate` it builds nothing and
says how long a build will take.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.controlplane.versions import ETCD, KUBERNETES, KWOK, NEWEST, STAGES, TOOLS, Module

ASSETS = "KUBEBUILDER_ASSETS"
_HEARTBEAT = 20
"""Seconds between two signs of life while a build runs."""


class UnavailableError(RuntimeError):
    """The requested programs are not available here; the text is one line with what is missing and what to do."""


def programs(version: str = NEWEST) -> dict[str, Path]:
    """Where the programs of this version of Kubernetes are, with etcd's and kwok's, built now if they never were.

    Raises:
        UnavailableError: an unknown version, no Go, or a build that failed.

    """
    given = _given(version)
    paths: dict[str, Path] = {}
    for module in _modules(version):
        taken = {name: given / name for name in module.files if given and (given / name).is_file()}
        missing = [name for name in module.files if name not in taken]
        paths |= taken | (_kept(module, missing) if missing else {})
    return paths


def tool(name: str) -> Path:
    """Where the program of a tool is, built now if it never was.

    Raises:
        UnavailableError: no Go, or a build that failed.

    """
    module = TOOLS[name]
    (path,) = _kept(module, list(module.files)).values()
    return path


def unbuilt(names: Iterable[str]) -> list[Module]:
    """The modules of these versions and tools that must be built before tests can run.

    Raises:
        UnavailableError: an unknown version, or no Go.

    """
    found: dict[str, Module] = {}
    for name in names:
        is_tool = name in TOOLS
        given = None if is_tool else _given(name)
        for module in (TOOLS[name],) if is_tool else _modules(name):
            folder = _folder(module)
            if not all((folder / file).is_file() or (given and (given / file).is_file()) for file in module.files):
                found[module.folder] = module
    return list(found.values())


def _modules(version: str) -> tuple[Module, ...]:
    if version not in KUBERNETES:
        raise UnavailableError(f"{version} is not in the table: choose from {', '.join((*KUBERNETES, *TOOLS))}")
    return KUBERNETES[version], ETCD, KWOK


def source(module: Module, path: str) -> Path:
    """The folder with the source of a module that this one depends on, downloaded now if it never was; read only.

    Raises:
        UnavailableError: no Go, or a download that failed.

    """
    _go(module, "mod", "download", path)
    return Path(_go(module, "list", "-m", "-f", "{{.Dir}}", path))


def _given(version: str) -> Path | None:
    """The folder of KUBEBUILDER_ASSETS, if its API server is of this version."""
    folder = os.environ.get(ASSETS, "").strip()
    if not folder:
        return None
    try:
        command = [Path(folder) / "kube-apiserver", "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError(f"{ASSETS}={folder} holds no kube-apiserver that runs: unset it ({error})") from None
    if said.startswith(f"Kubernetes v{version}."):
        return Path(folder)
    _tell(f"{ASSETS} holds {said} and Kubernetes {version} is asked for: not taken")
    return None


def _kept(module: Module, names: list[str]) -> dict[str, Path]:
    """The named files of a module in the cache, made under a lock when they are not there."""
    folder = _folder(module)
    paths = {name: folder / name for name in names}
    if all(path.is_file() for path in paths.values()):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock", module):
        for name, path in paths.items():
            if not path.is_file():
                _make(module, name, path)
    return paths


def _folder(module: Module) -> Path:
    """Where the files of a module are once they are built."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmguard" / "controlplane"
    return cache / f"{module.folder}-{_key(module)}"


def _make(module: Module, name: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / name
        if name == STAGES:
            made.write_text(_stages(module))
        else:
            link = " ".join(("-s", "-w", *module.link))
            _go_build(
                module,
                name,
                ["-trimpath", "-tags", ",".join(module.tags), "-ldflags", link, "-o", str(made), module.programs[name]],
            )
        made.rename(path)


def _go_build(module: Module, name: str, arguments: list[str]) -> None:
    started = time.monotonic()
    _tell(f"building {name} ({module.title}), once on this machine: all of it takes minutes")
    with tempfile.TemporaryFile("w+") as said:
        command = [_go_command(module), "build", *arguments]
        with subprocess.Popen(command, cwd=module.path, env=_environment(), stdout=said, stderr=said) as build:
            while True:
                try:
                    status = build.wait(_HEARTBEAT)
                    break
                except subprocess.TimeoutExpired:
                    _tell(f"still building {name}, {time.monotonic() - started:.0f} s")
                except BaseException:
                    build.kill()
                    raise
        if status:
            said.seek(0)
            reason = " ".join(" ".join(said.readlines()[-4:]).split())
            raise UnavailableError(f"{name} ({module.title}) could not be built: {reason}")
    _tell(f"built {name} in {time.monotonic() - started:.0f} s")


def _stages(module: Module) -> str:
    origin = source(module, module.origin)
    files = [path for pattern in module.stages for path in sorted(origin.glob(pattern))]
    return "\n---\n".join(path.read_text() for path in files if path.name != "kustomization.yaml")


def _key(module: Module) -> str:
    """What a binary depends on: Go, its target, the flags, and every dependency's hash."""
    parts = [_go(module, "env", "GOVERSION", "GOOS", "GOARCH", "CGO_ENABLED"), *module.link, *module.tags]
    digest = hashlib.sha256("\n".join(parts).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((module.path / name).read_bytes())
    return digest.hexdigest()[:12]


def _go(module: Module, *arguments: str) -> str:
    command = [_go_command(module), *arguments]
    done = subprocess.run(command, cwd=module.path, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{module.title}: go {arguments[0]} said: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def _go_command(module: Module) -> str:
    if found := shutil.which("go"):
        return found
    lines = (module.path / "go.mod").read_text().splitlines()
    version = next(line.split()[1] for line in lines if line.startswith("go "))
    needed = f"{module.title} needs Go, which is not on the PATH. Install Go {version} or newer"
    if module in TOOLS.values():
        raise UnavailableError(needed)
    names = ", ".join(module.programs)
    raise UnavailableError(
        f"{needed}; for a control plane it is enough to set {ASSETS} to a folder that has all of {names}"
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


@contextmanager
def _alone(path: Path, module: Module) -> Iterator[None]:
    with path.open("w") as lock:
        _acquire(lock, module)
        yield


def _acquire(lock: IO[str], module: Module) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _tell(f"another process builds {module.title}: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _tell(text: str) -> None:
    print(f"control plane: {text}", file=sys.stderr, flush=True)


def estimate(names: Iterable[str]) -> str:
    """One line that says how long the first build takes on two cores; "" when nothing must be built."""
    modules = unbuilt(names)
    if not modules:
        return ""
    minutes = sum(module.minutes for module in modules)
    titles = ", ".join(module.title for module in modules)
    return f"First build on this machine: Go downloads and compiles {titles}; about {minutes} minutes on two cores."


def main(arguments: Sequence[str] | None = None) -> int:
    """Build versions and tools. Without Go that is a failure only where CI is set: elsewhere the tests are skipped."""
    parser = argparse.ArgumentParser(prog="python -m tests.controlplane.build", description=main.__doc__)
    parser.add_argument("--estimate", action="store_true", help="build nothing; print how long it will take")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default {NEWEST}; tools: {', '.join(TOOLS)}")
    options = parser.parse_args(arguments)
    names = options.names or [NEWEST]
    try:
        if options.estimate:
            line = estimate(names)
            print(line, end="\n" if line else "")
            return 0
        for name in names:
            tool(name) if name in TOOLS else programs(name)
    except UnavailableError as error:
        print(error, file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
