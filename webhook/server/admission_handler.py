"""`/mutate` and `/validate`: an ASGI callable in front of the application, so that a review costs no routing.

For each request it reads a bounded body, drives the decision, responds, counts and logs once. An error of the client is
a 4xx with the reason in JSON. An error of vmguard is a 500 without a trace, and the webhook's failurePolicy decides.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import lru_cache
from typing import Any, get_args
from urllib.parse import parse_qs

import msgspec

from webhook.admission.admission_review import Request, Review, ReviewError, decode
from webhook.admit import admit
from webhook.decision_cache import DecisionCache
from webhook.driver import Done, PreviewsHere, PreviewSource, advance, drive_async
from webhook.facts import FactSource
from webhook.policy.decide import Decision, Webhook
from webhook.policy.resource_events import ResourceEvent
from webhook.policy.workload import Link
from webhook.server.http import (
    JSON,
    Disconnected,
    HTTPError,
    HTTPResponse,
    Receive,
    Scope,
    Send,
    error_body,
    headers_of,
    read_body,
    respond,
)
from webhook.server.lifecycle import State
from webhook.server.reporting import Reporter
from webhook.server.resource_turns import FactsInTurn, ResourceTurns
from webhook.settings import Settings
from webhook.telemetry.log import Log, described
from webhook.telemetry.metrics import Children, Metrics

MAX_BODY = 7 * 1024 * 1024
"""Bytes; the API server sends at most about this much."""


LARGE = 256 * 1024
"""Bytes from which the review of a pod waits for its turn, like a resource. Recorded reviews have 4 to 16 KB."""


class Endpoint(msgspec.Struct, frozen=True):
    """One path. The namespaceSelector of its entry has read the labels.

    If it is `enforced`, the namespace enforces deny; if it is `in_force`, the namespace has the label of the mode.
    """

    webhook: Webhook
    enforced: bool = False
    in_force: bool = False


WEBHOOKS: dict[str, Endpoint] = {
    f"/{webhook}{mode}{level}": Endpoint(webhook, enforced=bool(level), in_force=bool(mode))
    for webhook in get_args(Webhook)
    for mode in ("", "/mode-enforce")
    for level in ("", "/enforced")
}
"""By path. On an `enforced` one VMGUARD_ENFORCE counts as deny, and no label is looked up. On a `mode-enforce` one
VMGUARD_MODE counts as enforce."""

DEFAULT_TIMEOUT = 10.0
_LONGEST_QUERY = 256
_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)"
_PARTS = re.compile(_PART)
_DURATION = re.compile(f"(?:{_PART})+")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Exchange:
    """One request for a decision: when its last byte arrived, and its review once that is decoded."""

    __slots__ = ("review", "started", "webhook")

    def __init__(self, webhook: Webhook) -> None:
        self.webhook = webhook
        self.started = time.monotonic()
        self.review: Review | None = None


class AdmissionHandler:
    """Serves reviews, and hands every other request to `rest`."""

    def __init__(
        self,
        rest: Callable[[Scope, Receive, Send], Awaitable[None]],
        source: FactSource,
        settings: Settings,
        metrics: Metrics,
        log: Log,
        state: State,
        previews: PreviewSource | None = None,
        *,
        offer: Callable[[ResourceEvent], None] | None = None,
    ) -> None:
        self._rest = rest
        self._source = source
        self._previews = previews or PreviewsHere()
        self._turns = ResourceTurns()
        self._settings = {
            (enforced, in_force): replace(
                settings,
                enforce="deny" if enforced else settings.enforce,
                mode="enforce" if in_force else settings.mode,
            )
            for enforced in (False, True)
            for in_force in (False, True)
        }
        self._state = state
        self._cache = DecisionCache(metrics.decision_cache_hits.inc)
        self._reporter = Reporter(metrics, log, offer)
        self._requests = Children(metrics.requests)
        self._times = {webhook: metrics.duration.labels(webhook) for webhook in get_args(Webhook)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        endpoint = WEBHOOKS.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None:
            await self._rest(scope, receive, send)
            return
        exchange = _Exchange(endpoint.webhook)
        try:
            body = await read_body(_headers(scope), receive, MAX_BODY)
        except Disconnected:
            self._count(exchange, "disconnected")
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a response and no trace
            response = self._failed(exchange, error)
        else:
            decided = self._decide(endpoint, scope["query_string"], body)
            response = decided if isinstance(decided, HTTPResponse) else await decided
        await respond(send, response)

    def begin(self, scope: Scope, body: bytes) -> HTTPResponse | Coroutine[Any, Any, HTTPResponse] | None:
        """The response to a request with a complete body, or what to await for it; None if it is no review.

        In both cases vmguard decides, logs and counts the request once.
        """
        endpoint = WEBHOOKS.get(scope["path"])
        if endpoint is None:
            return None
        try:
            _headers(scope)
        except HTTPError as error:
            return self._failed(_Exchange(endpoint.webhook), error)
        return self._decide(endpoint, scope["query_string"], body)

    def _decide(
        self, endpoint: Endpoint, query: bytes, body: bytes
    ) -> HTTPResponse | Coroutine[Any, Any, HTTPResponse]:
        """The response to a complete request; the caller awaits it if a resource waits for its turn or a step waits."""
        exchange = _Exchange(endpoint.webhook)
        try:
            exchange.review = decode(body)
            request = exchange.review.request
            if _is_large(request, body) and not self._turns.take():
                return self._decide_in_turn(exchange, endpoint, query, request.namespace or "")
            return self._begun(exchange, exchange.review, endpoint, query)
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(exchange, error)

    def _begun(
        self, exchange: _Exchange, review: Review, endpoint: Endpoint, query: bytes
    ) -> HTTPResponse | Coroutine[Any, Any, HTTPResponse]:
        """The response to a review; the caller awaits it if a step waits."""
        source, previews, request = self._source, self._previews, review.request
        steps = admit(
            review,
            endpoint.webhook,
            self._settings[endpoint.enforced, endpoint.in_force],
            minor=source.minor,
            labels_suffice=source.labels_suffice,
            cache=self._cache,
        )
        step = advance(steps, source, None, previews)
        if not isinstance(step, Done):
            deadline = exchange.started + time_allowed(query)  # both are times of the event loop's clock
            facts = FactsInTurn(source, self._turns, request.namespace or "") if request.kind.group else source
            return self._decide_late(exchange, drive_async(steps, facts, deadline, step, previews))
        return self._decided(exchange, *step.result)

    async def _decide_in_turn(
        self, exchange: _Exchange, endpoint: Endpoint, query: bytes, namespace: str
    ) -> HTTPResponse:
        try:
            await self._turns.turn(namespace)
        except asyncio.CancelledError:  # the connection made way for another one
            self._count(exchange, "disconnected")
            raise
        assert exchange.review  # noqa: S101 - it was decoded before
        try:
            begun = self._begun(exchange, exchange.review, endpoint, query)
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(exchange, error)
        return begun if isinstance(begun, HTTPResponse) else await begun

    async def _decide_late(
        self, exchange: _Exchange, deciding: Awaitable[tuple[Decision, tuple[Link, ...]]]
    ) -> HTTPResponse:
        try:
            return self._decided(exchange, *await deciding)
        except asyncio.CancelledError:  # as above
            self._count(exchange, "disconnected")
            raise
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(exchange, error)

    def _decided(self, exchange: _Exchange, decision: Decision, links: tuple[Link, ...]) -> HTTPResponse:
        """Report a decision and count it."""
        assert exchange.review  # noqa: S101 - it was decided on
        seconds = time.monotonic() - exchange.started
        answer = self._reporter.decided(exchange.webhook, exchange.review, decision, links, seconds)
        self._count(exchange, decision.outcome)
        if decision.refused:
            return HTTPResponse(500, error_body(500, decision.refused), close=self._state.draining, reviewed=True)
        return HTTPResponse(200, answer, close=self._state.draining, reviewed=True)

    def _failed(self, exchange: _Exchange, error: Exception) -> HTTPResponse:
        """Log and count why there is no decision: an error of the client (4xx), or of vmguard (500)."""
        if not isinstance(error, (HTTPError, ReviewError)):
            self._reporter.failed(exchange.webhook, exchange.review, **described(error))
            self._count(exchange, "error")
            body = error_body(500, "vmguard failed on this request; its log says why")
            return HTTPResponse(500, body, close=self._state.draining)
        code = error.code if isinstance(error, HTTPError) else 400
        self._reporter.refused(exchange.webhook, exchange.review, code, str(error))
        self._count(exchange, "bad_request")
        close = self._state.draining or isinstance(error, HTTPError)  # then the body may not have been read
        return HTTPResponse(code, error_body(code, str(error)), close=close, allow=b"POST" if code == 405 else b"")

    def _count(self, exchange: _Exchange, outcome: str) -> None:
        self._requests[exchange.webhook, outcome].inc()
        self._times[exchange.webhook].observe(time.monotonic() - exchange.started)


def _is_large(request: Request, body: bytes) -> bool:
    """Whether a decision may take milliseconds: the object is a resource, or an unusually large pod."""
    return bool(request.kind.group) or len(body) > LARGE


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """The headers of a request that may be a review.

    Raises:
        HTTPError: 405 or 415.

    """
    if scope["method"] != "POST":
        raise HTTPError(405, f"{scope['path']} takes POST")
    headers = headers_of(scope)
    content_type = headers.get(b"content-type", b"")
    if content_type != JSON and content_type.partition(b";")[0].strip().lower() != JSON:
        raise HTTPError(415, "Content-Type must be application/json")
    return headers


def time_allowed(query: bytes) -> float:
    """Seconds for facts: `?timeout=` (a Go duration; 10 s when absent or not one) less max(200 ms, 10 %).

    It does not read a query that is much longer than the API server's.
    """
    return _time_allowed(query if len(query) <= _LONGEST_QUERY else b"")


@lru_cache(64)
def _time_allowed(query: bytes) -> float:
    timeout = DEFAULT_TIMEOUT
    if query:
        text = parse_qs(query.decode("ascii", "replace")).get("timeout", [""])[0]
        if _DURATION.fullmatch(text):  # first, because it is fast: findall tries every position
            timeout = min(sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(text)), 30.0)
    return max(timeout - max(0.2, timeout / 10), 0.0)
