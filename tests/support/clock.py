"""A wall clock that a test moves under a running server: libfaketime, preloaded, reads its offset from a file.

The monotonic clock stays as it is, as it does on a machine whose time is corrected.
"""

import importlib.util
import os
import platform
from pathlib import Path

import pytest


class Clock:
    """The clock of the processes that get `environment`."""

    def __init__(self, folder: Path) -> None:
        if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
            pytest.skip("libfaketime is built for x86-64 and glibc")
        found = importlib.util.find_spec("libfaketime")
        assert found
        assert found.submodule_search_locations
        library = Path(found.submodule_search_locations[0]) / "vendor/libfaketime/src/libfaketime.so.1"
        self._offset = folder / "offset"
        self.move("+0h")
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }

    def move(self, offset: str) -> None:
        """From now on the wall clock shows another time, such as `+5h`, than that of the machine."""
        written = self._offset.with_suffix(".new")
        written.write_text(f"{offset}\n")
        os.replace(written, self._offset)  # noqa: PTH105 - at once, so that nobody reads half
