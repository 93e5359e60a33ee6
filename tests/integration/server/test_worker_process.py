"""The process behind /dry-run and previews starts at the first request, once at a time, and again after its end."""

import asyncio
import io
import json
import os
import signal

import pytest

from webhook.server.worker_process import WorkerEndedError, WorkerProcess, WorkerStartError
from webhook.telemetry.log import Log

POD = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}}).encode()
FOREVER = 3600.0


def _running(test, role="dry-run", arguments=("30",)):
    """What a coroutine function returns for a worker, and the log."""

    async def run():
        stderr = io.BytesIO()
        worker = WorkerProcess(role, lambda: arguments, b"[]", Log("error", stderr))
        try:
            return await test(worker), stderr.getvalue().decode()
        finally:
            await worker.stop()

    return asyncio.run(run())


def test_a_worker_that_cannot_start_is_tried_again_and_named_in_its_trouble(capfd):
    async def test(worker):
        for _ in range(2):
            with pytest.raises(WorkerStartError):
                await worker.ask(POD, FOREVER)
        return worker.trouble

    trouble, log = _running(test, "no such role")
    assert trouble == "the no such role worker does not start"
    assert log.count("the no such role worker does not start") == 2
    assert "KeyError" in capfd.readouterr().err


def test_one_start_serves_all_who_wait_for_it_also_when_the_first_gives_up():
    async def test(worker):
        first = asyncio.create_task(worker.start())
        others = [asyncio.create_task(worker.start()) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(*others)
        pid = worker._process.pid
        code, _ = await worker.ask(POD, FOREVER)
        return code, worker._process.pid == pid, first.cancelled()

    assert _running(test)[0] == (200, True, True)


def test_after_a_question_that_took_too_long_or_a_kill_another_process_answers():
    """A late answer to one question is never the answer to the next."""

    async def test(worker):
        await worker.start()
        pids, troubles = [worker._process.pid], []
        os.kill(pids[0], signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await worker.ask(POD, 0.1)
        troubles.append(worker.trouble)
        code, _ = await worker.ask(POD, FOREVER)
        pids.append(worker._process.pid)
        os.kill(pids[1], signal.SIGSTOP)
        asked = asyncio.create_task(worker.ask(POD, FOREVER))
        await asyncio.sleep(0.01)
        os.kill(pids[1], signal.SIGKILL)
        with pytest.raises(WorkerEndedError):
            await asked
        troubles.append(worker.trouble)
        again, _ = await worker.ask(POD, FOREVER)
        pids.append(worker._process.pid)
        return (code, again), troubles, len(set(pids)), worker.trouble

    codes, troubles, processes, trouble = _running(test)[0]
    assert codes == (200, 200)
    assert troubles == [
        "the dry-run worker did not answer within 0.1 s and was ended",
        "the dry-run worker ended before it answered",
    ]
    assert (processes, trouble) == (3, "")
