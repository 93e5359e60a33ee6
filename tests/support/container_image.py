"""The image of vmguard, built by `make image` and run as a kubelet runs it, without a registry or a container runtime.

buildah builds it on `debian_base`, with its storage in a temporary folder. bubblewrap and the image's own setpriv run
it: with the image's environment, user, folder and entry point, as process 1, as the security contexts of a pod say.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.controlplane.folder import temporary_folder
from tests.support.debian_base import debian_base
from tests.support.patience import PATIENCE
from tests.support.programs import missing, program
from tests.support.server import LISTEN, ROOT, Server, environment, running

NAME = "localhost/vmguard:test"
BASE = "localhost/vmguard-base:test"

MOUNT = "/mnt"
"""An empty folder that the base has, for what a test mounts."""

_MACHINE = ("/etc/pip.conf", "/etc/ssl")
"""How pip reaches the package index of this machine; mounted during the build only."""

_TAIL = 10
"""Lines of a build that failed, which the failure shows."""

_OFFLINE = ("NewConnectionError", "NameResolutionError")

SECCOMP = {"type": "RuntimeDefault"}
"""The seccomp profile of a pod that is run here without one: bubblewrap has no filter of a container runtime."""


@dataclass(frozen=True)
class Mount:
    """A folder of this machine in a container; `target` is a folder of the image, or below /run."""

    source: Path
    target: str = MOUNT
    writable: bool = False


@dataclass(frozen=True)
class ContainerImage:
    """An image that was built. `root` is the folder of its files; `config` is its OCI configuration."""

    root: Path
    config: dict[str, Any]

    def command(
        self,
        pod: Mapping[str, Any],
        arguments: Sequence[str] | None = None,
        *,
        variables: Mapping[str, str] | None = None,
        mounts: Sequence[Mount] = (),
        entry_point: Sequence[str] | None = None,
    ) -> list[str]:
        """What runs the image as the one container of a pod, with the pod's security contexts.

        `pod` is a PodSpec. The arguments and the entry point are the image's own where none are given; environment and
        mounts are the image's and these.
        """
        (container,) = pod["containers"]
        root, user = confinement(pod.get("securityContext", {}), container.get("securityContext", {}))
        known = dict(each.split("=", 1) for each in self.config["Env"]) | dict(variables or {})
        command = [program("bwrap"), root, str(self.root), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"]
        for mount in mounts:
            made = [path for path in reversed(Path(mount.target).parents) if path.is_relative_to("/run")]
            command += [word for path in made for word in ("--dir", str(path))]  # else bubblewrap makes them for root
            command += ["--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]
        command += ["--remount-ro", "/run", "--chdir", self.config.get("WorkingDir") or "/"]
        command += ["--unshare-pid", "--as-pid-1", "--die-with-parent", "--clearenv"]
        for name, value in known.items():
            command += ["--setenv", name, value]
        own = self.config["Cmd"] if arguments is None else arguments
        return [*command, *user, *(self.config["Entrypoint"] if entry_point is None else entry_point), *own]

    def run(self, pod: Mapping[str, Any], *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the place of the entry point, to its end."""
        words = self.command(pod, command, entry_point=(), **options)
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)

    @contextmanager
    def standalone(
        self, folder: Path, pod: Mapping[str, Any], objects: Sequence[Any], **settings: str
    ) -> Iterator[Server]:
        """A standalone server in a container, once it is ready, which knows these objects.

        Its certificate is in a volume of the container's user below the folder; `settings` are in its environment.
        """
        volume = folder / "volume"
        volume.mkdir()
        (volume / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        os.chown(volume, *(pod["securityContext"][name] for name in ("runAsUser", "runAsGroup")))
        words = ["serve", "--standalone", "--objects", f"{MOUNT}/objects.json", "--cert-dir", f"{MOUNT}/certs"]
        mounts = [Mount(volume, writable=True)]
        with self.serving(folder, pod, words, variables={**LISTEN, **settings}, mounts=mounts) as server:
            yield replace(server, ca=str(volume / "certs" / "ca.crt"))

    @contextmanager
    def serving(
        self, folder: Path, pod: Mapping[str, Any], arguments: Sequence[str], **options: Any
    ) -> Iterator[Server]:
        """A server in a container, once it is ready. Its log is in the folder."""
        with running(folder, self.command(pod, arguments, **options), environment()) as server:
            try:
                yield server
            finally:
                if server.process.poll() is None:  # the first process of a container does not end with bubblewrap
                    os.kill(process_of(server), signal.SIGTERM)
                    server.process.wait(PATIENCE)


def process_of(server: Server) -> int:
    """The process id of the server, which bubblewrap has started."""
    of = server.process.pid
    (child,) = Path(f"/proc/{of}/task/{of}/children").read_text().split()
    return int(child)


def confinement(pod: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[str, list[str]]:
    """What the security contexts of a pod and its container are for bubblewrap (the root), and for setpriv.

    Raises:
        ValueError: a field or a value that cannot be had here, so that it would go without a test.

    """
    fields = {**pod, **container}
    user, group = fields.pop("runAsUser"), fields.pop("runAsGroup")
    if fields.pop("runAsNonRoot", False) and user == 0:
        raise ValueError("the kubelet starts no container as root with runAsNonRoot")
    if fields.pop("seccompProfile", SECCOMP) != SECCOMP:
        raise ValueError("a seccomp profile cannot be had here")
    root = "--ro-bind" if fields.pop("readOnlyRootFilesystem", False) else "--bind"
    if fields.pop("allowPrivilegeEscalation", True):
        raise ValueError("bubblewrap never lets a process get more privileges")
    rights = "-all" if fields.pop("capabilities", {}) == {"drop": ["ALL"]} else ""
    if not rights:
        raise ValueError("the container must drop all capabilities")
    if fields:
        raise ValueError(f"nothing here runs a container with {', '.join(fields)}")
    identity = [f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    return root, ["setpriv", *identity, f"--inh-caps={rights}", f"--bounding-set={rights}", "--"]


@contextmanager
def container_image() -> Iterator[ContainerImage]:
    """Build the image, and have its files until the end of the block.

    The test ends here if this machine lacks a program, root, or a package index.
    """
    for name in ("buildah", "bwrap", "make"):
        program(name)
    if os.geteuid():
        missing("building an image and running it as another user needs root")
    archive = debian_base()
    with temporary_folder() as folder, ExitStack() as stack:
        variables = _storage(folder)
        stack.callback(_buildah, variables, "umount", "--all")
        _base(archive, variables)
        _build(variables)
        described = json.loads(_buildah(variables, "inspect", "--type", "image", NAME))
        container = _buildah(variables, "from", "--pull-never", NAME)
        root = Path(_buildah(variables, "mount", container))
        yield ContainerImage(root, described["OCIv1"]["config"])


def _storage(folder: Path) -> dict[str, str]:
    """The variables that keep all of buildah's files in a folder."""
    places = {"graphroot": folder / "storage", "runroot": folder / "run"}
    lines = ["[storage]", 'driver = "vfs"', *(f'{name} = "{path}"' for name, path in places.items())]
    (folder / "storage.conf").write_text("\n".join(lines))
    (folder / "temporary").mkdir()
    folder.chmod(0o711)
    own = {"CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"), "TMPDIR": str(folder / "temporary")}
    return environment(BUILDAH_ISOLATION="chroot", STORAGE_DRIVER="vfs", MAKEFLAGS="", **own)


def _base(archive: Path, variables: dict[str, str]) -> None:
    container = _buildah(variables, "from", "scratch")
    _buildah(variables, "add", container, str(archive), "/")
    _buildah(
        variables, "config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container
    )
    _buildah(variables, "commit", "--rm", container, BASE)


def _build(variables: dict[str, str]) -> None:
    machine = " ".join(f"--volume {path}:{path}:ro" for path in _MACHINE if Path(path).exists())
    options = f"--pull-never --network host {machine}"
    words = ["make", "image", "BUILDER=buildah", f"IMAGE={NAME}", f"PYTHON_IMAGE={BASE}", f"BUILD_OPTIONS={options}"]
    done = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode and any(each in done.stdout + done.stderr for each in _OFFLINE):
        missing("no package index can be reached")
    assert done.returncode == 0, "\n".join(done.stderr.splitlines()[-_TAIL:])


def _buildah(variables: dict[str, str], *words: str) -> str:
    done = subprocess.run([program("buildah"), *words], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"buildah {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()
