"""The command has the options and commands that people know from kubectl and helm."""

import json
import shutil
import subprocess
import sys

import pytest
import shtab

from tests.support.command import vmguard
from tests.support.golden import CASES
from tests.support.patience import PATIENCE
from tests.support.server import ROOT, environment
from webhook.cli.main import COMMANDS

CASE = next(case for case in CASES if case.category == "strict")


@pytest.fixture
def review(tmp_path):
    path = tmp_path / "review.json"
    path.write_bytes(CASE.review)
    return str(path)


def test_files_by_an_option_are_those_of_arguments(review):
    assert vmguard("review", "-f", review) == vmguard("review", review)
    status, out, _ = vmguard("review", "-f", review, "--filename", review, review, "-o", "review")
    assert (status, len(out.splitlines())) == (0, 3)
    assert vmguard("level", "-f", review) == vmguard("level", review)


@pytest.mark.parametrize("command", ["review", "level"])
def test_a_command_for_files_without_a_file_says_so(command):
    status, out, err = vmguard(command)
    assert (status, out) == (2, "")
    assert "name at least one FILE" in err


def test_the_version_is_the_same_wherever_it_is_shown():
    _, text, _ = vmguard("version")
    _, as_json, _ = vmguard("version", "-o", "json")
    _, option, _ = vmguard("--version")
    number = json.loads(as_json)["version"]
    assert text.startswith(f"vmguard {number} (Python ")
    assert option == f"vmguard {number}\n"


def test_the_package_is_a_program():
    command = [sys.executable, "-m", "webhook", "version"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, vmguard("version")[1])


@pytest.mark.parametrize("shell", shtab.SUPPORTED_SHELLS)
def test_a_completion_names_each_command(shell):
    status, out, _ = vmguard("completion", shell)
    assert status == 0
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("shell", shtab.SUPPORTED_SHELLS)
def test_the_script_and_the_page_name_the_same_command_to_load_it(shell):
    """And the script names no other place."""
    out = vmguard("completion", shell)[1]
    page = (ROOT / "docs" / "commands.md").read_text()
    (command,) = (line.split("`")[1] for line in page.splitlines() if line.startswith(f"| {shell} | `"))
    assert f"# To load it in every new shell: {command}\n" in out
    assert "Copy this" not in out
    assert "See also" not in out


def test_bash_completes_an_option_of_a_command(tmp_path):
    (tmp_path / "completion").write_text(vmguard("completion", "bash")[1])
    script = (
        f"source {tmp_path}/completion; COMP_WORDS=(vmguard audit --fail-); COMP_CWORD=2; "
        "$(complete -p vmguard | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo \"${COMPREPLY[@]}\""
    )
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout.strip() == "--fail-on", done.stderr


@pytest.mark.parametrize("command", [("certs", "status"), ("certs", "rotate"), ("audit",)])
def test_a_context_that_is_not_there_is_named(command, tmp_path):
    config = {"apiVersion": "v1", "kind": "Config", "contexts": [], "clusters": [], "users": [], "current-context": ""}
    (tmp_path / "config").write_text(json.dumps(config))
    status, _, err = vmguard(*command, "--kubeconfig", str(tmp_path / "config"), "--context", "no-such")
    assert status == 2
    assert "no-such" in err
