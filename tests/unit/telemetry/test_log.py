"""The lines of one turn of the event loop are written together, and none is lost."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from webhook.telemetry.log import Line, Log


class _Pipe:
    """Standard error as PYTHONUNBUFFERED makes it, and what arrived there."""

    def __init__(self):
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._unbuffered = io.TextIOWrapper(io.FileIO(writing, "w"), write_through=True)

    def log(self):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "stderr", self._unbuffered)
            return Log()

    def read(self):
        try:
            return [json.loads(line)["message"] for line in os.read(self._reading, 1 << 16).splitlines()]
        except BlockingIOError:
            return []

    def close(self):
        self._unbuffered.close()
        os.close(self._reading)


@pytest.fixture
def pipe():
    with closing(_Pipe()) as made:
        yield made


def test_the_lines_of_one_turn_of_the_loop_are_written_at_its_end(pipe):
    async def run():
        log = pipe.log()
        for _ in range(2):
            log.write("info", "one")
            log.write_line(Line(log.stamp(), "info", "two"))
            assert pipe.read() == []
            await asyncio.sleep(0)
            assert pipe.read() == ["one", "two"]
        log.write("info", "three")
        log.flush()
        assert pipe.read() == ["three"]
        await asyncio.sleep(0)
        log.write("info", "four")
        await asyncio.sleep(0)
        assert pipe.read() == ["four"]

    asyncio.run(run())


def test_a_warning_takes_all_along_at_once(pipe):
    async def run():
        log = pipe.log()
        log.write("info", "one")
        log.write("warning", "two")
        assert pipe.read() == ["one", "two"]

    asyncio.run(run())


def test_without_a_loop_a_line_leaves_at_once(pipe):
    pipe.log().write("info", "one")
    assert pipe.read() == ["one"]


KILLED = """
import asyncio, os, signal
from webhook.telemetry.log import Log

async def run():
    log = Log()
    log.write("info", "the turn before")
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(run())
"""


def test_a_killed_process_has_written_the_lines_of_the_turn_before():
    ended = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert json.loads(ended.stderr)["message"] == "the turn before"


def test_the_last_line_before_a_loop_ends_is_not_lost(pipe):
    async def run():
        pipe.log().write("info", "last")

    asyncio.run(run())
    assert pipe.read() == ["last"]


def test_waiting_lines_are_written_when_the_process_fails():
    program = """
import logging, uvloop
from webhook.telemetry.log import Handler, Log

log = Log()
logging.getLogger().handlers[:] = [Handler(log)]

async def run():
    log.write("info", "last")
    raise SystemExit(3)

uvloop.run(run())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, json.loads(ended.stderr)["message"]) == (3, "last")
