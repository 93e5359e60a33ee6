"""What a directory holds while it is being saved, and after a process that died at it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from certs import Bundle, DirectoryStore, FaultKind, Replaced, Reused, ensure
from tests.support.certificates import DAY, FILES, NOON, REPOSITORY, files_in, fill_with, new_bundle, save
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.slow


def test_a_reader_beside_a_writer_never_sees_a_mixture(new_store: DirectoryStore):
    bundles = [new_bundle() for _ in range(4)]
    save(new_store, bundles[0])
    done = threading.Event()
    seen: list[Bundle] = []

    def read() -> None:
        last = False
        while not last:
            last = done.is_set()
            contents = new_store.contents()
            if not contents.missing:
                seen.append(contents.bundle())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(60):
        save(new_store, bundles[turn % 4])
    done.set()
    reader.join()
    assert seen[-1] == bundles[59 % 4]
    assert all(bundle in bundles for bundle in seen)


CRASHES = """
import os, sys
from datetime import datetime
from pathlib import Path
from certs import DirectoryStore, ensure

# A process for each step to the disk, that ends right before it; its parent never saves.
real, step = {"fsync": os.fsync, "replace": os.replace, "unlink": os.unlink}, 0
def counted(name):
    def call(*given, **named):
        global step
        step += 1
        if step == last:
            os._exit(9)
        return real[name](*given, **named)
    return call
for name in real:
    setattr(os, name, counted(name))
for last, directory in enumerate(sys.argv[2:], start=1):
    child = os.fork()
    if not child:
        ensure(DirectoryStore(Path(directory)), ["localhost"], now=datetime.fromisoformat(sys.argv[1]))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
STEPS = 17  # removed: 3 stale files, the key, and 3 files at the end that were renamed; 3 renamed; 3 + 4 times fsync


@pytest.mark.parametrize("before", ["nothing", "expired"])
def test_a_crash_at_any_step_leaves_the_old_the_new_or_no_key_and_is_repaired(tmp_path: Path, before: str):
    directories = [tmp_path / str(step) for step in range(STEPS + 1)]
    old = None
    if before == "expired":
        old, _ = ensure(DirectoryStore(tmp_path / "old"), ["localhost"], now=NOON - 400 * DAY)
        for directory in directories:
            fill_with(directory, old)
    done = subprocess.run(
        [sys.executable, "-c", CRASHES, NOON.isoformat(), *map(str, directories)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        cwd=REPOSITORY,
    )
    # The last one has no step left to crash at: so all were tried.
    assert done.stdout.split() == ["9"] * STEPS + ["0"]
    keyless = 0
    for directory in directories:
        store = DirectoryStore(directory)
        contents = store.contents()
        keyless += contents.key.pem is None
        if not contents.missing:
            loaded = store.load()
            assert loaded == old or loaded.why_unusable(now=NOON, names=["localhost"]) is None
        bundle, (event,) = ensure(store, ["localhost"], now=NOON)
        assert store.load() == bundle
        assert bundle.why_unusable(now=NOON, names=["localhost"]) is None
        assert set(files_in(directory)) == set(FILES) or isinstance(event, Reused)
        if contents.missing and not contents.empty:
            assert isinstance(event, Replaced)
            assert event.reason.kind is FaultKind.INCOMPLETE
    assert keyless >= 6
