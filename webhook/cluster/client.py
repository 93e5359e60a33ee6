"""The connection to the API server: it finds the cluster and makes bounded requests. Answers are bytes.

The client library authenticates: with a kubeconfig (contexts, client certificates, exec plugins), or with the pod's own
ServiceAccount and its rotating token. When the API server refuses the credentials (401), the client loads them again,
but not too often. Every request has a time limit. If its connection breaks or the API server throttles it, the client
repeats it within this limit.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp
import yaml
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from webhook import __version__
from webhook.cluster.advice import Advise, general_advice
from webhook.cluster.backoff import Backoff
from webhook.cluster.collections import JSON, Collection, asked
from webhook.cluster.fair_queue import OWN, FairQueue, NoTurnError
from webhook.rate import Bucket

MOST_BYTES = 8 * 1024 * 1024
"""Most bytes of one answer, several times the largest object that etcd takes; and of a kubeconfig."""

LOOK_AGAIN = 60.0
"""Most seconds that the start of a watch waits for its turn."""

LOAD_AGAIN = 10.0
"""Seconds between two attempts to load the credentials again."""

ATTEMPTS = 4
"""At one request, within about 0.7 s: after a broken connection the API server may be well, and the next may work."""

OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod reads which namespace it is in."""

IN_CLUSTER = "in-cluster"
"""The name of the context where the pod's own ServiceAccount is used."""

_PATCHES: dict[type, str] = {list: "application/json-patch+json", dict: "application/merge-patch+json"}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}

_LAST_TURNS = 0.1

_THROTTLED = frozenset({429, 503})
"""HTTP status of an API server that has too much to do; `Retry-After` says when to try again."""

_SHORTEST_PAUSE = 0.2
"""Seconds before a request is repeated, at least."""

_FILE_FIELDS = ("tokenFile", "client-key", "client-certificate", "certificate-authority")
"""Fields of a kubeconfig that name files."""

T = TypeVar("T")

_GONE = (aiohttp.ClientError, ConfigException, OSError)


class NoClusterError(ValueError):
    """There is no cluster to connect to, or its configuration is broken; the text is for the person at the terminal.

    `reason` is the part of it that is true for every command.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}: no cluster to serve; see --kubeconfig, or --standalone")
        self.reason = reason


class UnreachableError(Exception):
    """No answer from the API server: refused, cut, or not in time; the text says which."""


class AnswerTooLargeError(UnreachableError):
    """An answer of more than `MOST_BYTES`; the client did not read it to its end."""


class _Source(NamedTuple):
    """Where the configuration is from: files, "" for the usual ones, and the context, "" for the current one."""

    kubeconfig: str
    context: str


class _Answer(NamedTuple):
    """HTTP status and body, and the seconds after which the API server wants the request again, None for never."""

    code: int
    body: bytes
    again_after: float | None


class _Configured(NamedTuple):
    """A connection, and what else its configuration contains."""

    api: ApiClient
    namespace: str
    context: str


class Client:
    """One API server, for one event loop; it calls `count` with verb, plural and HTTP status (0: no answer).

    `namespace` is that of the pod, or of the kubeconfig's context. `context` is the name of that context. `advise` is
    what a person reads about a permission that the account of the connection lacks.
    """

    def __init__(
        self, configured: "_Configured", source: "_Source", bucket: Bucket, count: Callable[[str, str, int], None]
    ) -> None:
        self._api = configured.api
        self.namespace = configured.namespace
        self.context = configured.context
        self.advise: Advise = general_advice
        self._source = source
        self._queue = FairQueue(bucket)
        self._count = count
        self._loaded = asyncio.get_running_loop().time()

    async def get(self, path: str, accept: str, deadline: float, payer: str = OWN) -> tuple[int, bytes]:
        """HTTP status and body of a GET, by `deadline`, a time of the running loop's clock in seconds.

        `payer` is the namespace that the request is for; it shares the rate fairly with the other namespaces.

        Raises:
            UnreachableError: there was no whole answer; AnswerTooLargeError: it was too large.

        """
        code = 0
        try:
            code, body = await self._get(path, accept, deadline, payer)
            if code == 401:
                async with asyncio.timeout_at(deadline):
                    loaded = await self._load_again()
                if loaded:
                    code, body = await self._get(path, accept, deadline, payer)
        except NoTurnError as error:
            raise UnreachableError(str(error)) from None
        except TimeoutError:
            raise UnreachableError("no answer from the API server in time") from None
        except _GONE as error:
            raise _unreachable(error) from None
        else:
            return code, body
        finally:
            self._count(*asked(path), code)

    async def call(self, verb: str, resource: str, ask: Callable[[ApiClient], Awaitable[T]], seconds: float) -> T:
        """The result of a request for `resource` (plural) that the client library makes, within so many seconds.

        The rate limit does not apply: these requests are few, and must not wait behind others.

        Raises:
            UnreachableError: there was no whole answer.
            ApiException: the API server refused the request.

        """
        code = 0
        try:
            async with asyncio.timeout(seconds):
                try:
                    answer = await ask(self._api)
                except ApiException as error:
                    if error.status != 401 or not await self._load_again():
                        raise
                    answer = await ask(self._api)
            code = 200
        except ApiException as error:
            code = error.status or 0
            raise
        except TimeoutError:
            raise UnreachableError("no answer from the API server in time") from None
        except _GONE as error:
            raise _unreachable(error) from None
        else:
            return answer
        finally:
            self._count(verb, resource, code)

    async def send(
        self, method: str, resource: Collection, namespace: str, name: str, body: Any, seconds: float
    ) -> tuple[int, bytes]:
        """HTTP status and body of a write: POST of a new object, without a name, PUT of an object, or PATCH.

        The body of a PATCH is the list of a JSON Patch, or the object of a merge patch.

        Raises:
            UnreachableError: there was no whole answer within so many seconds.
            InvalidNameError: no object and no namespace can have such a name.

        """
        content_type = _PATCHES[type(body)] if method == "PATCH" else JSON
        return await self._send(method, resource, resource.path(namespace, name), body, content_type, seconds)

    async def dry_run(self, resource: Collection, namespace: str, body: Any, seconds: float) -> tuple[int, bytes]:
        """HTTP status and body of a POST that stores nothing: the object as the API server would store it.

        Raises:
            UnreachableError: there was no whole answer within so many seconds.
            InvalidNameError: no namespace can have such a name.

        """
        return await self._send("POST", resource, f"{resource.path(namespace)}?dryRun=All", body, JSON, seconds)

    async def _send(
        self, method: str, resource: Collection, path: str, body: Any, content_type: str, seconds: float
    ) -> tuple[int, bytes]:
        async def ask(api: ApiClient) -> tuple[int, bytes]:
            _, url, headers, data, *_ = await api.param_serialize(
                method,
                path,
                header_params={"Accept": JSON, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await api.call_api(method, url, headers, data)
            content = await _body(answer.response)
            if answer.response.status >= 400:
                raise ApiException(status=answer.response.status, body=content.decode(errors="replace"))
            return answer.response.status, content

        try:
            return await self.call(_VERBS[method], resource.plural, ask, seconds)
        except ApiException as error:
            return error.status or 0, str(error.body or "").encode()

    @asynccontextmanager
    async def lines(self, path: str, accept: str, silence: float) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """HTTP status and lines of a GET that goes on; a connection without data for `silence` seconds is dead.

        Raises:
            UnreachableError: there was no answer, or it broke off; also from within the lines.

        """
        patience = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=silence)
        try:
            async with self._queue.turn(
                OWN, asyncio.get_running_loop().time() + LOOK_AGAIN
            ):  # the turn is for its start
                response = await self._request(path, accept, patience)
            self._count("watch", asked(path)[1], response.status)
            try:
                yield response.status, _lines(response)
            finally:
                response.close()
        except NoTurnError as error:
            raise UnreachableError(str(error)) from None
        except (TimeoutError, *_GONE) as error:
            raise _unreachable(error) from None

    def count_refusal(self, verb: str, resource: Collection) -> None:
        """Count a request that the API server would refuse, as if it had been made."""
        self._count(verb, resource.plural, 403)

    async def close(self) -> None:
        """Close every connection, also those that were cancelled while they opened."""
        await self._api.close()
        await asyncio.sleep(_LAST_TURNS)  # aiohttp closes some only in the loop's next turns, and this may be its last

    async def _get(self, path: str, accept: str, deadline: float, payer: str) -> tuple[int, bytes]:
        """A GET, repeated as long as the API server throttles it and the deadline allows."""
        while True:
            answer = await self._get_unbroken(path, accept, deadline, payer)
            pause = answer.again_after
            if pause is None or asyncio.get_running_loop().time() + pause >= deadline:
                return answer.code, answer.body
            self._count(*asked(path), answer.code)
            await asyncio.sleep(pause)

    async def _get_unbroken(self, path: str, accept: str, deadline: float, payer: str) -> _Answer:
        """A GET, repeated where the connection breaks."""
        backoff = Backoff(0.1)
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._get_once(path, accept, deadline, payer)
            except TimeoutError:
                raise
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(backoff.after())
        return await self._get_once(path, accept, deadline, payer)

    async def _get_once(self, path: str, accept: str, deadline: float, payer: str) -> _Answer:
        async with self._queue.turn(payer, deadline), asyncio.timeout_at(deadline):
            response = await self._request(path, accept, None)
            return _Answer(response.status, await _body(response), _again_after(response))

    async def _request(self, path: str, accept: str, patience: aiohttp.ClientTimeout | None) -> aiohttp.ClientResponse:
        method, url, headers, *_ = await self._api.param_serialize(
            "GET", path, header_params={"Accept": accept}, auth_settings=["BearerToken"]
        )
        answer = await self._api.call_api(method, url, headers, None, _request_timeout=patience)
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _load_again(self) -> bool:
        """Load the credentials again, unless that was tried just now; return whether there are new ones."""
        now = asyncio.get_running_loop().time()
        if now - self._loaded < LOAD_AGAIN:
            return False
        self._loaded = now
        try:
            older, self._api = self._api, (await _api(self._source)).api
        except NoClusterError:
            return False
        await older.close()
        return True


def _again_after(response: aiohttp.ClientResponse) -> float | None:
    """The seconds in the header `Retry-After` of an answer of a server that has too much to do, None without it."""
    text = response.headers.get("Retry-After", "")
    if response.status not in _THROTTLED or not (text.isascii() and text.isdigit()):
        return None
    return max(float(text[:9]), _SHORTEST_PAUSE)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MOST_BYTES:
                raise AnswerTooLargeError(f"the API server's answer is larger than {MOST_BYTES} bytes")
    finally:
        response.close()  # the connection of an answer that was read to its end has been given back by now
    return bytes(body)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body's lines, of any length; text after the last newline is also a line."""
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
    count: Callable[[str, str, int], None] = lambda _verb, _resource, _status: None,
    *,
    context: str = "",
) -> AsyncIterator[Client]:
    """A client for the cluster that `kubeconfig` names, "" for the first of KUBECONFIG, the pod's own, ~/.kube/config.

    `rate` is requests a second, and at once after a quiet time. `context` is one of the kubeconfig, "" for its current.

    Raises:
        NoClusterError: there is none, or its configuration cannot be used.

    """
    source = _Source(kubeconfig, context)
    client = Client(await _api(source), source, Bucket(*rate), count)
    try:
        yield client
    finally:
        await client.close()


async def _api(source: _Source) -> _Configured:
    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # no limit by the library
    configuration.retries = None
    try:
        namespace, context = await _configure(configuration, source)
        api = ApiClient(configuration)
    except Exception as error:  # noqa: BLE001 - the loader raises any error of its parsers, on the user's file
        raise NoClusterError(str(error) or type(error).__name__) from None
    api.user_agent = f"vmguard/{__version__}"
    return _Configured(api, namespace, context)


async def _configure(configuration: Configuration, source: _Source) -> tuple[str, str]:
    """Fill in a configuration; return vmguard's namespace in that cluster, and the name of the context."""
    named = source.kubeconfig or os.environ.get("KUBECONFIG", "")
    if not named and not source.context and os.environ.get("KUBERNETES_SERVICE_HOST"):
        load_incluster_config(configuration)
        return _own_namespace(), IN_CLUSTER
    loader = await load_kube_config(
        _existing(named), context=source.context or None, client_configuration=configuration, persist_config=False
    )
    found = loader.current_context
    return str(found["context"].get("namespace") or "default"), str(found["name"])


def _own_namespace() -> str:
    return OWN_NAMESPACE.read_text().strip() if OWN_NAMESPACE.is_file() else "default"


def _existing(named: str) -> str:
    files = named or str(Path.home() / ".kube" / "config")
    there = [path for file in files.split(os.pathsep) if (path := Path(file)).exists()]
    if not there:
        raise ConfigException(f"{files}: no such file")
    for path in there:
        _check_file(path)
        for other in _files_of(path):
            if other.exists():
                _check_file(other)
    return files


def _check_file(path: Path) -> None:
    """Refuse a file that would block or never end when the library opens it, and one that every user can change."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ConfigException(f"{path}: no regular file")
    if found.st_size > MOST_BYTES:
        raise ConfigException(f"{path}: more than {MOST_BYTES} bytes")
    if found.st_mode & stat.S_IWOTH:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise ConfigException(f"{path}: mode {mode} lets every user of this machine change it: run chmod o-w {path}")


def _files_of(kubeconfig: Path) -> Iterator[Path]:
    """The files that a kubeconfig names; none if it cannot be read, which the library reports."""
    try:
        config = yaml.safe_load(kubeconfig.read_bytes())
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return
    for group, member in (("users", "user"), ("clusters", "cluster")):
        entries = config.get(group) if isinstance(config, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            fields = entry.get(member) if isinstance(entry, dict) else None
            names = map(fields.get, _FILE_FIELDS) if isinstance(fields, dict) else ()
            yield from (kubeconfig.parent / name for name in names if name and isinstance(name, str))


def _unreachable(error: BaseException) -> UnreachableError:
    return UnreachableError(f"the API server cannot be reached: {type(error).__name__}: {error}")
