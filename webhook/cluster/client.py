"""The connection to the API server: whose cluster it is, and one bounded GET. Answers are bytes; nothing is modelled.

Authentication is the client library's: kubeconfig with contexts, client certificates and exec plugins, or the pod's
own service account. Every request names its time; none is retried here.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from webhook import __version__
from webhook.cluster.rate import Bucket

CONNECTIONS = 32
"""Connections to the API server at the most; what comes beyond waits for one, within its own deadline."""


class NoClusterError(ValueError):
    """There is no cluster to connect to, or its configuration is broken; the text is for whoever starts the server."""


class UnreachableError(Exception):
    """No answer from the API server: refused, cut, or not in time; the text says which."""


class Client:
    """One API server, for one event loop; `count` is told the verb and HTTP status of each request (0: no answer)."""

    def __init__(self, api: ApiClient, bucket: Bucket, count: Callable[[str, int], None]) -> None:
        self._api = api
        self._bucket = bucket
        self._count = count

    async def get(self, path: str, accept: str, deadline: float) -> tuple[int, bytes]:
        """HTTP status and body of a GET, by `deadline`, a time of the running loop's clock in seconds.

        Raises:
            UnreachableError: there was no whole answer.

        """
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn()
                method, url, headers, *_ = await self._api.param_serialize(
                    "GET", path, header_params={"Accept": accept}, auth_settings=["BearerToken"]
                )
                response = await self._api.call_api(method, url, headers)
                body = await response.read()
                self._count("get", response.status)
                return response.status, body
        except TimeoutError:
            self._count("get", 0)
            raise UnreachableError("no answer from the API server in time") from None
        except (aiohttp.ClientError, ConfigException, OSError) as error:
            self._count("get", 0)
            raise UnreachableError(f"the API server cannot be reached: {type(error).__name__}: {error}") from None

    async def _turn(self) -> None:
        """Wait for this request's turn, so that the API server is not asked more often than it was agreed."""
        seconds = self._bucket.reserve(asyncio.get_running_loop().time())
        if seconds:
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def lines(self, path: str, accept: str, silence: float) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """HTTP status and lines of a GET that goes on; a connection that says nothing for `silence` seconds is dead.

        Raises:
            UnreachableError: there was no answer, or it broke off; also from within the lines.

        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=silence)
        try:
            await self._turn()
            method, url, headers, *_ = await self._api.param_serialize(
                "GET", path, header_params={"Accept": accept}, auth_settings=["BearerToken"]
            )
            response = (await self._api.call_api(method, url, headers, _request_timeout=timeout)).response
            self._count("watch", response.status)
            try:
                yield response.status, _lines(response)
            finally:
                response.close()
        except (TimeoutError, aiohttp.ClientError, ConfigException, OSError) as error:
            raise UnreachableError(f"the API server cannot be reached: {type(error).__name__}: {error}") from None


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body's lines, of any length; what comes after the last newline is one too."""
    parts: list[bytes] = []
    async for chunk in response.content.iter_any():
        head, newline, rest = chunk.partition(b"\n")
        parts.append(head)
        while newline:
            yield b"".join(parts)
            head, newline, rest = rest.partition(b"\n")
            parts = [head]
    if line := b"".join(parts):
        yield line


@asynccontextmanager
async def connected(
    kubeconfig: str,
    rate: tuple[float, float] = (50, 100),
    count: Callable[[str, int], None] = lambda _verb, _status: None,
) -> AsyncIterator[Client]:
    """A client for the cluster that `kubeconfig` names, "" for the first of KUBECONFIG, the pod's own, ~/.kube/config.

    `rate` is requests a second, and at once after a quiet time.

    Raises:
        NoClusterError: there is none, or its configuration cannot be used.

    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.retries = None
    try:
        await _configure(configuration, kubeconfig)
        api = ApiClient(configuration)
    except Exception as error:  # noqa: BLE001 - the loader raises whatever its parsers do, on a file of the user's
        told = f"{str(error) or type(error).__name__}: no cluster to serve; see --kubeconfig, or --standalone"
        raise NoClusterError(told) from None
    api.user_agent = f"vmguard/{__version__}"
    try:
        yield Client(api, Bucket(*rate), count)
    finally:
        await api.close()


async def _configure(configuration: Configuration, kubeconfig: str) -> None:
    named = kubeconfig or os.environ.get("KUBECONFIG", "")
    if not named and os.environ.get("KUBERNETES_SERVICE_HOST"):
        load_incluster_config(configuration)
        return
    await load_kube_config(_existing(named), client_configuration=configuration, persist_config=False)


def _existing(named: str) -> str:
    files = named or str(Path.home() / ".kube" / "config")
    if not any(Path(file).is_file() for file in files.split(os.pathsep)):
        raise ConfigException(f"{files}: no such file")
    return files
