"""Other clients of a webhook listener: `python -m tests.support.flood_of_clients HOST PORT SERVER_NAME`, until killed.

They hold connections that send nothing, and make new ones without a pause: a TLS handshake, a request that is no
review, and the end.
"""

import asyncio
import ssl
import sys
from contextlib import suppress

SILENT = 300
SENDERS = 4
_REQUEST = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def _flood(host: str, port: int, name: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with asyncio.TaskGroup() as tasks:
        for _ in range(SILENT):
            tasks.create_task(_hold(host, port))
        for _ in range(SENDERS):
            tasks.create_task(_send(host, port, name, context))


async def _hold(host: str, port: int) -> None:
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            await reader.read()
            writer.close()
        await asyncio.sleep(0.5)


async def _send(host: str, port: int, name: str, context: ssl.SSLContext) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
            writer.write(_REQUEST)
            await reader.readline()
            writer.close()
        except OSError:
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(_flood(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
