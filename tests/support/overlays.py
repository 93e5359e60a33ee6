"""Overlays of kustomize as a user writes them over `deploy/`, and what they render to."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.build import programs
from tests.controlplane.plane import ControlPlane
from tests.support.patience import PATIENCE
from tests.support.server import ROOT

DEFAULT = "overlays/default"
OVERLAYS = (DEFAULT, "overlays/namespaced", "overlays/openshift")

_HEAD = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


def overlay(
    folder: Path,
    components: Sequence[str] = (),
    resource: str = DEFAULT,
    *,
    namespace: str = "",
    replaced: Sequence[str] = (),
) -> Path:
    """An overlay with these components; `replaced` are those whose replacements it uses."""
    return kustomization(
        folder,
        **({"namespace": namespace} if namespace else {}),
        resources=[f"deploy/{resource}"],
        components=[f"deploy/components/{each}" for each in components],
        replacements=[{"path": f"deploy/components/{each}/namespace.yaml"} for each in replaced],
    )


def kustomization(folder: Path, **fields: object) -> Path:
    """A folder with a kustomization of these fields, and a copy of `deploy/` in it, as in a checkout."""
    return _written(folder, yaml.safe_dump({**_HEAD, **fields}))


def _written(folder: Path, text: str) -> Path:
    shutil.copytree(ROOT / "deploy", folder / "deploy", dirs_exist_ok=True)
    (folder / "kustomization.yaml").write_text(text)
    return folder


def documented_overlay(folder: Path, section: str) -> Path:
    """The overlay that a section of docs/install.md prints, in a new folder, with a copy of `deploy/` in it."""
    text = (ROOT / "docs" / "install.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    (printed,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return _written(folder, printed)


def rendered(folder: Path) -> list[dict[str, Any]]:
    """The objects of an overlay, by kubectl's own kustomize."""
    command = [programs()["kubectl"], "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def applied(plane: ControlPlane, folder: Path, namespace: str = "vmguard-system") -> dict[str, Any]:
    """Apply an overlay as an administrator does; the Deployment as it is stored."""
    done = plane.kubectl("apply", "--server-side", "-k", str(folder))
    assert done.returncode == 0, done.stderr
    return plane.api.get("apps/v1", "Deployment", "vmguard", namespace)


def container_environment(deployment: dict[str, Any]) -> dict[str, str]:
    """The environment of vmguard's container, as the kubelet makes it."""
    namespace = deployment["metadata"]["namespace"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value") or namespace for each in container["env"]}
