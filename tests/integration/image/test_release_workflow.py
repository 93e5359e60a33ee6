"""The workflow that makes a release is valid, and each of its jobs may do what it must and no more."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from tests.controlplane.build import tool
from tests.controlplane.fixtures import had
from tests.controlplane.versions import ACTIONLINT, HELM_4
from tests.support.patience import PATIENCE
from tests.support.server import ROOT
from webhook import __version__

WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"

PERMISSIONS = {
    "version": {"contents": "read"},
    "image": {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
    "chart": {"contents": "read", "packages": "write", "id-token": "write"},
    "files": {"contents": "write", "id-token": "write", "attestations": "write"},
}
"""What the token of each job may do."""


@pytest.fixture
def lint(pytestconfig, tmp_path):
    """Lints the text of a workflow; what is wrong with it."""
    program = had(pytestconfig, lambda: tool(ACTIONLINT))

    def run(text):
        (tmp_path / "workflow.yml").write_text(text)
        command = [program, "-no-color", "-oneline", tmp_path / "workflow.yml"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == bool(done.stdout), done.stderr
        return done.stdout

    return run


def test_the_workflow_is_valid(lint):
    assert lint(WORKFLOW.read_text()) == ""


def test_a_workflow_that_is_not_valid_is_noticed(lint):
    assert 'property "base" is not defined' in lint(WORKFLOW.read_text().replace("id: base", "id: other"))


def test_every_action_is_pinned_by_its_commit():
    used = re.findall(r"uses: (.*)", WORKFLOW.read_text())
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in used)


def test_each_job_may_do_what_it_must_and_no_more():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == PERMISSIONS


def test_no_job_keeps_the_token_in_its_checkout():
    steps = [step for job in yaml.safe_load(WORKFLOW.read_text())["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_base_is_the_one_of_the_dockerfile():
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    found = re.fullmatch(r"(docker\.io/library/python:3\.13)\.\d+(-slim)-trixie@sha256:[0-9a-f]{64}", base)
    assert yaml.safe_load(WORKFLOW.read_text())["env"]["PYTHON"] == "".join(found.groups())


def test_the_chart_is_packaged_as_the_workflow_does_it(pytestconfig, tmp_path):
    """The lines before the push: the packaged chart installs the image of the release."""
    helm = had(pytestconfig, lambda: tool(HELM_4))
    (step,) = (
        each
        for each in yaml.safe_load(WORKFLOW.read_text())["jobs"]["chart"]["steps"]
        if "helm package" in each.get("run", "")
    )
    lines = step["run"].split("helm push")[0]
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    image, digest = "ghcr.io/acme/vmguard", f"sha256:{'a' * 64}"
    environment = {"IMAGE": image, "DIGEST": digest, "VERSION": __version__}
    path = os.pathsep.join((str(helm.parent), os.environ["PATH"]))
    done = subprocess.run(
        [shutil.which("bash"), "-euo", "pipefail", "-c", lines],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    package = tmp_path / "dist" / f"vmguard-{__version__}.tgz"
    shown = subprocess.run([helm, "template", package], capture_output=True, text=True, timeout=PATIENCE, check=True)
    images = re.findall(r"^ *(?:- )?image: (.*)$", shown.stdout, re.MULTILINE)
    assert {each.strip('"') for each in images} == {f"{image}@{digest}"}
