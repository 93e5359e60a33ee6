"""Lines leave together at the end of their turn, whatever Python does with standard error, and none is lost."""

import asyncio
import io
import json
import os
import sys

import pytest

from webhook.telemetry.log import Log


@pytest.fixture
def pipe(monkeypatch):
    """Standard error, as PYTHONUNBUFFERED makes it, goes into this; `read()` is what arrived so far."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    unbuffered = io.TextIOWrapper(io.FileIO(writing, "w"), write_through=True)
    monkeypatch.setattr(sys, "stderr", unbuffered)

    def read():
        try:
            return [json.loads(line)["message"] for line in os.read(reading, 1 << 16).splitlines()]
        except BlockingIOError:
            return []

    yield read
    unbuffered.close()
    os.close(reading)


def test_lines_of_one_turn_leave_together(pipe):
    async def run():
        log = Log()
        log.write("info", "one")
        log.write_parts("info", "two", {"a": 1}, b'"b":2')
        assert pipe() == []
        await asyncio.sleep(0)
        assert pipe() == ["one", "two"]
        log.write("info", "three")
        log.flush()
        assert pipe() == ["three"]

    asyncio.run(run())


def test_without_a_loop_a_line_leaves_at_once(pipe):
    Log().write("info", "one")
    assert pipe() == ["one"]


def test_the_last_line_before_a_loop_ends_is_not_lost(pipe):
    async def run():
        Log().write("info", "last")

    asyncio.run(run())
    assert pipe() == ["last"]
