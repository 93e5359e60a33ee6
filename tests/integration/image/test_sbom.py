"""`make sbom` lists the packages that the image has, as CycloneDX."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from tests.support.locked import locked
from tests.support.patience import PATIENCE
from tests.support.programs import program
from tests.support.server import ROOT, environment
from webhook import __version__


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The text of the list, made with the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("sbom")
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    command = [program("make"), "-o", ".venv/dev", "sbom"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(MAKEFLAGS=""),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "dist").iterdir()
    return path.read_text()


def test_the_list_is_valid(made):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.replace('"bomFormat"', '"form"')) is not None


def test_it_describes_this_version_of_vmguard(made):
    described = json.loads(made)["metadata"]["component"]
    assert (described["name"], described["version"]) == ("vmguard", __version__)


def test_it_lists_the_locked_packages_with_their_hashes(made):
    """`test_image` shows that these are the packages of the image."""
    listed = {canonicalize_name(each["name"]): each for each in json.loads(made)["components"]}
    assert {name: each["version"] for name, each in listed.items()} == locked("requirements.lock")
    for each in listed.values():
        (distribution,) = each["externalReferences"]
        assert all(re.fullmatch(r"[0-9a-f]{64}", one["content"]) for one in distribution["hashes"])
        assert distribution["hashes"]
