"""The real Helm, with folders of its own, so that it reads no settings of this machine."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.api import Object
from tests.support.patience import PATIENCE
from tests.support.server import ROOT

CHART = ROOT / "deploy" / "chart"
RELEASE, NAMESPACE = "vmguard", "vmguard-system"
"""The names with which the objects of the chart are those of kustomize's default overlay."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Helm:
    """One version of Helm. With `kubeconfig` it reaches a cluster."""

    program: Path
    folder: Path
    kubeconfig: Path | None = None

    def run(self, *arguments: str, values: Values | None = None) -> "subprocess.CompletedProcess[str]":
        """Run it to its end; whether that is a success is the caller's to judge."""
        command = [str(self.program), *arguments, *(("--values", "-") if values is not None else ())]
        given = json.dumps(values or {})
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=2 * PATIENCE,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """The environment of the program."""
        places = {f"HELM_{each}_HOME": str(self.folder / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
        reached = {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {}
        return {"HOME": str(self.folder), "PATH": os.environ.get("PATH", ""), **places, **reached}

    def text(self, *arguments: str, values: Values | None = None) -> str:
        """The standard output of a command that must succeed."""
        done = self.run(*arguments, values=values)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rendered(
        self, values: Values | None = None, *arguments: str, release: str = RELEASE, namespace: str = NAMESPACE
    ) -> list[Object]:
        """The objects of the chart that are installed with these values, without the test's."""
        text = self.text(
            "template", release, str(CHART), "--namespace", namespace, "--skip-tests", *arguments, values=values or {}
        )
        return [each for each in yaml.safe_load_all(text) if each]
