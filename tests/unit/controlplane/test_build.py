"""Programs are built once, taken from where they are given, and missed in one line. Go is a script here."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.controlplane import build
from tests.controlplane.versions import ETCD, HELM_4, KUBERNETES, KWOK, NEWEST, TOOLS
from tests.support.patience import PATIENCE
from tests.support.programs import started

GO = """#!/bin/sh
case "$1" in
  env) echo go1.0 ;;
  mod)
    [ -z "$FAIL" ] || { echo "no such host" >&2; exit 1; }
    touch "$HERE/downloaded" ;;
  list) [ ! -f "$HERE/downloaded" ] || echo "$HERE" ;;
  build)
    [ -z "$FAIL" ] || { echo "some/package: no such package" >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    echo "$2" >> "$HERE/built"
    sleep 0.1
    echo binary > "$2" ;;
esac
"""
NAMES = [name for module in (KUBERNETES[NEWEST], ETCD, KWOK) for name in module.programs]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with an empty cache and a Go that only pretends."""
    (tmp_path / "go").write_text(GO)
    (tmp_path / "go").chmod(0o755)
    for name in (build.ASSETS, "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(
    "module", [*KUBERNETES.values(), ETCD, KWOK, *TOOLS.values()], ids=lambda module: module.folder
)
def test_each_modules_folder_pins_what_the_table_says(module):
    text = (module.path / "go.mod").read_text()
    version = module.title.rpartition(" ")[2]
    assert f" {version} // indirect\n" in text  # what only tools need
    assert all(f"tool {package}\n" in text for package in module.programs.values())
    assert (module.path / "go.sum").is_file()


def _built(machine):
    record = machine / "built"
    return [Path(line).name for line in record.read_text().splitlines()] if record.exists() else []


@pytest.mark.slow
def test_processes_that_start_at_the_same_time_build_once(machine):
    command = [sys.executable, "-m", "tests.controlplane.build"]
    with ExitStack() as stack:
        running = [stack.enter_context(started(command, stderr=subprocess.DEVNULL)) for _ in range(3)]
        assert [process.wait(PATIENCE) for process in running] == [0, 0, 0]
    assert sorted(_built(machine)) == sorted(NAMES)
    paths = build.programs()
    assert all(paths[name].read_text() == "binary\n" for name in NAMES)
    assert sorted(_built(machine)) == sorted(NAMES)


def test_a_tool_is_built_alone_and_once(machine):
    assert build.main([HELM_4]) == 0
    assert build.tool(HELM_4).read_text() == "binary\n"
    assert _built(machine) == ["helm"]


def test_a_tool_that_must_be_built_is_in_the_estimate(machine, capsys):
    assert build.main(["--estimate", HELM_4]) == 0
    assert capsys.readouterr().out.startswith(
        f"First build on this machine: Go downloads and compiles {TOOLS[HELM_4].title}; about"
    )
    build.tool(HELM_4)
    capsys.readouterr()
    assert build.main(["--estimate", HELM_4]) == 0
    assert capsys.readouterr().out == ""


def test_a_name_that_is_in_no_table_is_refused_with_those_that_are(machine, monkeypatch, capsys):
    monkeypatch.setenv("CI", "true")
    assert build.main(["helm"]) == 1
    assert f"choose from {', '.join((*KUBERNETES, *TOOLS))}" in capsys.readouterr().err


def test_a_source_is_downloaded_before_it_is_named(machine):
    assert build.source(KUBERNETES[NEWEST], "example.org/some") == machine


def test_a_source_that_cannot_be_downloaded_is_missed_in_one_line(machine, monkeypatch):
    monkeypatch.setenv("FAIL", "yes")
    with pytest.raises(build.UnavailableError, match=r"^Kubernetes v1\.37\.2: go mod said: no such host$"):
        build.source(KUBERNETES[NEWEST], "example.org/some")


@pytest.mark.slow
def test_a_module_that_changes_is_built_anew(machine, monkeypatch):
    before = build.programs()["etcd"]
    monkeypatch.setattr(build, "_key", lambda module: "another")
    assert build.programs()["etcd"] != before


def test_given_programs_are_not_built(machine, monkeypatch):
    given = machine / "assets"
    given.mkdir()
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (given / name).write_text("#!/bin/sh\necho Kubernetes v1.37.9\n")
        (given / name).chmod(0o755)
    monkeypatch.setenv(build.ASSETS, str(given))
    paths = build.programs("1.37")
    assert paths["kube-apiserver"] == given / "kube-apiserver"
    assert sorted(_built(machine)) == ["kube-controller-manager", "kube-scheduler", "kwok"]


def test_given_programs_of_another_version_are_left(machine, monkeypatch, capsys):
    (machine / "kube-apiserver").write_text("#!/bin/sh\necho Kubernetes v1.30.1\n")
    (machine / "kube-apiserver").chmod(0o755)
    monkeypatch.setenv(build.ASSETS, str(machine))
    assert build.programs("1.37")["kube-apiserver"].parent != machine
    assert "holds Kubernetes v1.30.1 and Kubernetes 1.37 is asked for" in capsys.readouterr().err


def test_the_estimate_is_one_line_that_names_what_must_be_built(machine, capsys):
    assert build.main(["--estimate", "1.37", "1.24"]) == 0
    wanted = (KUBERNETES["1.37"], KUBERNETES["1.24"], ETCD, KWOK)
    minutes = sum(module.minutes for module in wanted)
    line = capsys.readouterr().out
    assert line.endswith(f"about {minutes} minutes on two cores.\n")
    assert all(module.title in line for module in wanted)
    assert not _built(machine)


@pytest.mark.slow
def test_the_estimate_says_nothing_where_all_is_built(machine, capsys):
    build.programs("1.37")
    capsys.readouterr()
    assert build.main(["--estimate", "1.37"]) == 0
    assert capsys.readouterr() == ("", "")
    build.main(["--estimate", "1.37", "1.24"])
    line = capsys.readouterr().out
    assert "Kubernetes v1.24.17" in line
    assert "etcd" not in line


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_without_go_one_line_says_what_to_do(machine, monkeypatch, capsys, ci, status):
    (machine / "go").unlink()
    monkeypatch.setenv("PATH", str(machine))
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(sys, "argv", ["build"])
    assert build.main() == status
    said = capsys.readouterr().err
    assert said.startswith("Kubernetes v1.37.2 needs Go, which is not on the PATH. Install Go 1.26.0 or newer")
    assert said.count("\n") == 1


def test_a_build_that_fails_says_why_and_leaves_nothing(machine, monkeypatch):
    monkeypatch.setenv("FAIL", "yes")
    with pytest.raises(build.UnavailableError, match="could not be built: some/package: no such package"):
        build.programs()
    cached = {name for _, _, files in os.walk(machine / "cache") for name in files}
    assert cached == {"lock"}
