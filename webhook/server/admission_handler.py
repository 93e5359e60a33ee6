"""`/mutate` and `/validate`: an ASGI callable in front of the application, so that a review costs no routing.

Reads a bounded body, walks `admit`, answers, counts and logs. What is wrong with a request is said in JSON with its
status; what is wrong with us is a 500 without a trace, and the webhook's failurePolicy decides.
"""

import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import lru_cache, partial
from typing import Any, TypeVar
from urllib.parse import parse_qs

from webhook.admission.admission_review import Review, ReviewError, decode
from webhook.admit import admit
from webhook.decision_cache import DecisionCache
from webhook.facts import AtHand, FactSource, MustWait
from webhook.policy.decide import Webhook
from webhook.server.heads import AtOnce
from webhook.server.http import (
    JSON,
    Disconnected,
    HTTPError,
    Receive,
    Scope,
    Send,
    error_body,
    headers_of,
    read_body,
    respond,
)
from webhook.server.lifecycle import State
from webhook.server.reporting import Reporter, about
from webhook.settings import Settings
from webhook.telemetry.log import Log, as_fields, described
from webhook.telemetry.metrics import Metrics
from webhook.text import one_line

T = TypeVar("T")

MAX_BODY = 7 * 1024 * 1024
"""Bytes; the API server sends at most about this much."""

WEBHOOKS: dict[str, Webhook] = {"/mutate": "mutate", "/validate": "validate"}

DEFAULT_TIMEOUT = 10.0
_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)"
_PARTS = re.compile(_PART)
_DURATION = re.compile(f"(?:{_PART})+")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


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
    ) -> None:
        self._rest = rest
        self._source = source
        self._settings = settings
        self._log = log
        self._state = state
        self._alike = DecisionCache()
        self._requests = metrics.tally(metrics.requests)
        self._tell = Reporter(metrics, log).tell
        self._times = {webhook: metrics.duration.of(webhook) for webhook in WEBHOOKS.values()}
        self._at_hand = AtHand(source)

    def at_once(self, scope: Scope) -> AtOnce | None:
        """What answers requests like this one without waiting; None where they are no reviews."""
        webhook = WEBHOOKS.get(scope["path"])
        if webhook is None:
            return None
        try:
            _headers(scope)
        except HTTPError:
            return None
        return partial(self._answer, webhook, time_allowed(scope["query_string"]))

    def _answer(self, webhook: Webhook, seconds: float, body: bytes) -> bytes | None:
        if self._state.draining:
            return None
        started = time.monotonic()
        try:
            review = decode(body)
            deciding = admit(review, webhook, self._at_hand, self._settings, started + seconds, self._alike)
            decision, looked_up = _at_once(deciding)
            if decision.refused:
                return None
            answer = self._tell(webhook, review, decision, looked_up, time.monotonic() - started)
        except Exception:  # noqa: BLE001 - it comes again where it can be answered for
            return None
        self._count(webhook, decision.outcome, started)
        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        webhook = WEBHOOKS.get(scope["path"]) if scope["type"] == "http" else None
        if webhook is None:
            await self._rest(scope, receive, send)
            return
        close = self._state.draining
        started = time.monotonic()
        outcome = "error"
        review: Review | None = None
        try:
            headers = _headers(scope)
            body = await read_body(headers, receive, MAX_BODY)
            started = time.monotonic()
            review = decode(body)
            deadline = started + time_allowed(scope["query_string"])  # it is the event loops' clock too
            decision, looked_up = await admit(review, webhook, self._source, self._settings, deadline, self._alike)
            outcome = decision.outcome
            answer = self._tell(webhook, review, decision, looked_up, time.monotonic() - started)
            if decision.refused:
                await respond(send, 500, error_body(500, decision.refused), close=close)
                return
            await respond(send, 200, answer, close=close)
        except (HTTPError, ReviewError) as error:
            outcome = "bad_request"
            code = error.code if isinstance(error, HTTPError) else 400
            why = {"code": code, "reason": one_line(error, 500)}
            self._log.write_line(about(self._log.stamp(), "warning", "not answered", webhook, review), as_fields(why))
            allow = b"POST" if code == 405 else b""
            closing = close or isinstance(error, HTTPError)
            await respond(send, code, error_body(code, str(error)), close=closing, allow=allow)
        except Disconnected:
            outcome = "disconnected"
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a 500 and no trace
            line = about(self._log.stamp(), "error", "failed", webhook, review)
            self._log.write_line(line, as_fields(described(error)))
            await respond(send, 500, error_body(500, "vmguard failed on this request; its log says why"), close=close)
        finally:
            self._count(webhook, outcome, started)

    def _count(self, webhook: Webhook, outcome: str, started: float) -> None:
        self._requests[webhook, outcome] += 1
        self._times[webhook].add(time.monotonic() - started)


def _at_once(deciding: Coroutine[Any, Any, T]) -> T:
    """The result of what need not wait."""
    try:
        deciding.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    deciding.close()
    raise MustWait


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """The headers of a request that may be a review."""
    if scope["method"] != "POST":
        raise HTTPError(405, f"{scope['path']} takes POST")
    headers = headers_of(scope)
    content_type = headers.get(b"content-type", b"")
    if content_type != JSON and content_type.partition(b";")[0].strip().lower() != JSON:
        raise HTTPError(415, "Content-Type must be application/json")
    return headers


@lru_cache(64)
def time_allowed(query: bytes) -> float:
    """Seconds for facts: `?timeout=` (a Go duration; 10 s when absent or not one) less max(200 ms, 10 %)."""
    timeout = DEFAULT_TIMEOUT
    if query:
        said = parse_qs(query.decode("ascii", "replace")).get("timeout", [""])[0]
        if _DURATION.fullmatch(said):  # first: it looks from one place only, where findall looks from each
            timeout = min(sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(said)), 30.0)
    return max(timeout - max(0.2, timeout / 10), 0.0)
