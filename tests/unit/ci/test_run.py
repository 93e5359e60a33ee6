"""What CI runs: the README's commands, a table of seconds, and pytest's closing line as the last one."""

import shutil
import subprocess
import sys

import pytest

from tests.support.patience import PATIENCE
from tests.support.server import ROOT, environment

pytestmark = pytest.mark.slow

MAKE = """#!/bin/sh
for target; do :; done
echo "$target" >> "$HERE/targets"
case "$target" in
  python-3.13) [ -z "$WITHOUT" ] ;;
  test)
    cat "$CI_SECONDS"
    echo "=========== 2 passed in 0.10s ============"
    [ -z "$FAILS" ] || { echo "make: *** [Makefile:20: test] Error $FAILS" >&2; exit 2; } ;;
  *) [ "$target" != "$BREAKS" ] || { echo "make: *** [Makefile:9: $target] Error 1" >&2; exit 2; } ;;
esac
"""
APT_GET = """#!/bin/sh
echo "$*" >> "$HERE/installed"
[ -z "$OFFLINE" ] || { echo "E: Unable to fetch" >&2; exit 100; }
"""
SUDO = """#!/bin/sh
shift
exec "$@"
"""
USED = "bash cat cp curl dirname env git grep mktemp openssl patch python3 rm sed sh tail tee"
"""Programs of the machine that the script may find."""

ALSO_THERE = ("buildah", "bwrap", "chromium", "mmdebstrap")
"""Programs that the script looks for and never runs."""

CLOSING = "=========== 2 passed in 0.10s ============"


@pytest.fixture
def ci(tmp_path):
    """Runs `.ci/run` with a make and an apt-get that only pretend; the result, and the targets that were made."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {"make": MAKE, "apt-get": APT_GET, "sudo": SUDO}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "python3").symlink_to(sys.executable)

    def run(without="", **variables):
        for name in ALSO_THERE:
            if name != without:
                (programs / name).write_text("#!/bin/sh\n")
                (programs / name).chmod(0o755)
        for name in USED.split():
            found = shutil.which(name)
            if name != without and found and not (programs / name).exists():
                (programs / name).symlink_to(found)
        known = environment(HERE=str(tmp_path), PATH=str(programs), **variables)
        command = [ROOT / ".ci" / "run"]
        done = subprocess.run(command, capture_output=True, text=True, env=known, timeout=PATIENCE, check=False)
        return done, (tmp_path / "targets").read_text().split()

    return run


@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("patch", "patch"),
        ("buildah", "buildah"),
        ("chromium", "chromium"),
        ("mmdebstrap", "mmdebstrap"),
        ("bwrap", "bubblewrap"),
    ],
)
def test_a_missing_program_is_installed_as_a_debian_package(ci, tmp_path, program, package):
    done, _ = ci(without=program)
    assert done.returncode == 0
    assert (tmp_path / "installed").read_text().splitlines()[-1] == f"-qq install -y --no-install-recommends {package}"


def test_without_a_package_index_it_says_so_and_goes_on(ci):
    """The test that needs the program fails and names it."""
    done, targets = ci(without="patch", OFFLINE="yes")
    assert "could not install patch:\nE: Unable to fetch\n" in done.stdout
    assert targets[-1] == "test"


def test_it_runs_the_commands_of_the_readme(ci):
    done, targets = ci()
    assert done.returncode == 0
    assert [each for each in targets if each in {"lint", "test"}] == ["lint", "test"]
    assert "unit-3.13" in targets
    assert done.stdout.splitlines()[-1] == CLOSING


@pytest.mark.parametrize("status", [1, 2, 5])
def test_when_tests_fail_pytests_line_is_the_last_and_its_status_the_exit_status(ci, status):
    done, _ = ci(FAILS=str(status))
    assert done.returncode == status
    assert done.stdout.splitlines()[-1] == CLOSING


@pytest.mark.parametrize("target", ["lint", "control-plane", "unit-3.13"])
def test_a_part_that_fails_ends_the_run(ci, target):
    done, targets = ci(BREAKS=target)
    assert done.returncode != 0
    assert targets[-1] == target


def test_a_missing_python_3_13_is_a_line_of_the_table(ci):
    done, targets = ci(WITHOUT="yes")
    assert done.returncode == 0
    assert "unit-3.13" not in targets
    assert "make unit on Python 3.13\tnot run: there is no Python 3.13 on this machine" in done.stdout


def test_the_table_stands_before_pytests_closing_line(tmp_path):
    (tmp_path / "seconds").write_text("make lint\t12\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/unit/test_text.py"]
    known = environment(CI_SECONDS=str(tmp_path / "seconds"))
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=known, timeout=PATIENCE, check=False)
    *before, closing = done.stdout.splitlines()
    assert " passed in " in closing
    assert f"{'make lint':32}    12" in before
    assert any(line.startswith("tests/unit ") for line in before)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not on the PATH")
def test_make_says_what_to_do_without_python_3_13():
    command = ["make", "--no-print-directory", "unit-3.13", "PYTHON_3_13="]
    known = environment(MAKEFLAGS="")  # not those of a make that runs the tests
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=known, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert done.stdout == "There is no Python 3.13 here: make unit-3.13 PYTHON_3_13=/path/to/python3.13\n"
