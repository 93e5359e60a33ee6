"""Several that start together, on one store, end with one bundle."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from certs import Bundle, CertificateError, Contents, Created, DirectoryStore, Part, Replaced, Reused, ensure
from tests.support.certificates import DAY, NAMES, NOON, foreign_bundle
from tests.support.patience import PATIENCE
from tests.support.programs import started


@dataclass
class Shelf:
    """A store in memory, where others may put something just before a save."""

    held: Bundle | None = None
    intruders: list[Bundle] = field(default_factory=list)
    saves: int = 0

    def contents(self) -> Contents:
        pems = (self.held.authority_pem, self.held.leaf.chain_pem, self.held.leaf.key_pem) if self.held else [None] * 3
        return Contents(*(Part(name, pem) for name, pem in zip(("ca", "crt", "key"), pems, strict=True)))

    def load(self) -> Bundle:
        return self.contents().bundle()

    def save(self, bundle: Bundle, *, replacing: Contents) -> bool:
        if self.intruders:
            self.held = self.intruders.pop()
        if self.contents() != replacing:
            return False
        self.held = bundle
        self.saves += 1
        return True


def test_the_bundle_of_one_who_was_faster_is_used():
    winner, _ = ensure(Shelf(), NAMES, now=NOON)
    shelf = Shelf(intruders=[winner])
    bundle, (event,) = ensure(shelf, NAMES, now=NOON)
    assert bundle == winner
    assert isinstance(event, Reused)
    assert shelf.saves == 0


def test_the_bundle_of_one_who_was_faster_is_judged_like_any():
    shelf = Shelf(intruders=[foreign_bundle(names=["other.svc"])])
    with pytest.raises(CertificateError, match="Example Corp"):
        ensure(shelf, NAMES, now=NOON)
    assert shelf.saves == 0


@pytest.mark.parametrize("before", ["nothing", "expired"])
def test_threads_that_start_together_get_one_bundle(store: DirectoryStore, before: str):
    if before == "expired":
        ensure(store, NAMES, now=NOON - 400 * DAY)
    with ThreadPoolExecutor(8) as pool:
        results = [job.result() for job in [pool.submit(ensure, store, NAMES, now=NOON) for _ in range(24)]]
    assert {bundle for bundle, _ in results} == {store.load()}
    made = [type(event) for _, (event,) in results if not isinstance(event, Reused)]
    assert made == [Created if before == "nothing" else Replaced]


START = """
import os, sys
from datetime import datetime
from pathlib import Path
from certs import DirectoryStore, ensure
directory = Path(sys.argv[1])
(directory / f"ready-{os.getpid()}").touch()
while not (directory / "go").exists():
    pass
bundle, (event,) = ensure(DirectoryStore(directory / "certs"), ["localhost"], now=datetime.fromisoformat(sys.argv[2]))
print(type(event).__name__, hash(bundle.authority_pem + bundle.leaf.chain_pem + bundle.leaf.key_pem))
"""


@pytest.mark.slow
def test_processes_that_start_together_get_one_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    command = [sys.executable, "-c", START, str(tmp_path), NOON.isoformat()]
    with ExitStack() as stack:
        starters = [stack.enter_context(started(command, stdout=subprocess.PIPE)) for _ in range(4)]
        while len(list(tmp_path.glob("ready-*"))) < len(starters):
            assert all(starter.poll() is None for starter in starters)
        (tmp_path / "go").touch()
        said = [starter.communicate(timeout=PATIENCE)[0].split() for starter in starters]
    assert sorted(event for event, _ in said) == ["Created", "Reused", "Reused", "Reused"]
    assert len({bundle for _, bundle in said}) == 1
    assert DirectoryStore(tmp_path / "certs").load().why_unusable(now=NOON, names=["localhost"]) is None
