"""`make matrix`: the tests that depend on the version of Kubernetes, on each version, and the table of their results.

It takes hours on two cores. It writes the table into docs/compatibility.md.
"""

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.controlplane.build import UnavailableError, programs
from tests.controlplane.versions import KUBERNETES, NEWEST_VERSION, WITH_POLICIES

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "compatibility.md"

TESTS = {
    "test_golden_pods.py": "recorded pods of all resources",
    "test_pod_admission.py": "pods as controllers make them",
    "test_validation.py": "resources at `kubectl apply`",
    "test_token_mounts.py": "tokens of the Kubernetes API",
    "test_strict_fields.py": "each field of security contexts",
    "test_enforced_namespaces.py": "labels of namespaces",
    "test_component_overlays.py": "overlays and components of `deploy/`",
    "test_installation_life.py": "install, update, uninstall",
}
"""The files of tests/integration/cluster, with what they show."""

_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")
_ROW = re.compile(r"^\| 1\.\d+ \|.*\n", re.MULTILINE)


@dataclass(frozen=True)
class VersionResult:
    """The result of pytest on one version."""

    version: str
    counts: dict[str, int]
    day: str

    @property
    def row(self) -> str:
        """The row of the table."""
        title = KUBERNETES[self.version].title.removeprefix("Kubernetes ")
        cells = [str(self.counts.get(each, 0)) for each in ("passed", "failed", "skipped")]
        return f"| {self.version} | {title} | {' | '.join(cells)} | {self.day} |\n"


def main() -> int:
    """Run it; 1 when a test failed or a version cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.controlplane.matrix", description="tests on each version")
    parser.add_argument("versions", nargs="*", default=list(KUBERNETES), metavar="VERSION", help="default: all")
    results = []
    for version in parser.parse_args().versions:
        try:
            programs(version)
        except UnavailableError as error:
            print(error, file=sys.stderr)
            return 1
        results.append(_tried(version))
        _write(results[-1])
        print(results[-1].row, end="", flush=True)
    return int(any(each.counts.get("failed") or each.counts.get("error") for each in results))


def _tried(version: str) -> VersionResult:
    """Run the tests; those of the oldest version only where that version is tried."""
    files = [f"tests/integration/cluster/{name}" for name in TESTS]
    other = [] if version == WITH_POLICIES else ["-k", f"not {WITH_POLICIES}"]
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", *other, *files]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, NEWEST_VERSION: version}, stdout=subprocess.PIPE, text=True, check=False
    )
    sys.stdout.write(done.stdout)
    counts = {name: int(count) for count, name in _COUNT.findall(done.stdout.rstrip().splitlines()[-1])}
    return VersionResult(version, counts, datetime.now(UTC).date().isoformat())


def _write(result: VersionResult) -> None:
    """Put a row into the table of the page, in the order of versions."""
    text = PAGE.read_text()
    rows = {row.split(" ")[1]: row for row in _ROW.findall(text)} | {result.version: result.row}
    head, _, rest = text.partition("|---|---|---|---|---|---|\n")
    after = _ROW.sub("", rest)
    ordered = "".join(rows[version] for version in KUBERNETES if version in rows)
    PAGE.write_text(f"{head}|---|---|---|---|---|---|\n{ordered}{after}")


if __name__ == "__main__":
    sys.exit(main())
