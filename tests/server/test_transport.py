"""An answer's head waits for its body, and never for long."""

import asyncio

import pytest

from webhook.server.transport import HeadWaits

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class _Transport:
    def __init__(self):
        self.done = []

    def write(self, data):
        self.done.append(data)

    def close(self):
        self.done.append("close")

    def abort(self):
        self.done.append("abort")

    def is_closing(self):
        return "abort" in self.done or "close" in self.done

    def pause_reading(self):
        pass

    resume_reading = pause_reading


def _sees(*calls):
    async def run():
        transport = _Transport()
        waiting = HeadWaits(transport, asyncio.get_running_loop())
        for name, *arguments in calls:
            getattr(waiting, name)(*arguments)
        await asyncio.sleep(0)
        return transport.done

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("calls", "done"),
    [
        ([("write", HEAD), ("write", b"ok")], [HEAD + b"ok"]),
        ([("write", HEAD), ("write", b"o"), ("write", b"k")], [HEAD + b"o", b"k"]),
        ([("write", HEAD)], [HEAD]),
        ([("write", HEAD), ("close",)], [HEAD, "close"]),
        ([("write", HEAD), ("abort",)], ["abort"]),
        ([("write", b"HTTP/1.1 100 Continue\r\n\r\n")], [b"HTTP/1.1 100 Continue\r\n\r\n"]),
    ],
)
def test_what_is_written_goes_out_whole_and_in_order(calls, done):
    assert _sees(*calls) == done
