"""The other paths of the webhook listener: `/healthz`, `/dry-run`, and the documentation.

The page of the documentation loads nothing from other hosts and runs no script.
"""

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from webhook.server.docs_page import POLICY, page
from webhook.server.dry_run import MAX_BODY, DryRun
from webhook.server.http import Disconnected, HTTPError, error_body, headers_of, read_body
from webhook.server.openapi import description
from webhook.telemetry.metrics import Metrics

_JSON = "application/json"
_HEADERS = {"X-Content-Type-Options": "nosniff"}
_PAGE_HEADERS = {**_HEADERS, "Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}


def application(questions: DryRun, metrics: Metrics, *, dry_run: bool) -> Starlette:
    """The ASGI application; without `dry_run` it serves /healthz only."""

    async def answer_dry_run(request: Request) -> Response:
        try:
            code, body = await questions.ask(await read_body(headers_of(request.scope), request.receive, MAX_BODY))
        except HTTPError as error:
            code, body = error.code, error_body(error.code, str(error))
        except Disconnected:
            return Response(status_code=400)
        metrics.dry_runs.labels(str(code)).inc()
        return Response(body, code, _HEADERS, media_type=_JSON)

    routes: list[BaseRoute] = [Route("/healthz", _healthz)]
    if dry_run:
        routes += [
            Route("/dry-run", answer_dry_run, methods=["POST"]),
            Route("/openapi.json", _openapi),
            Route("/docs", _docs),
        ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False  # /healthz/ is another path, as everywhere else
    return app


async def _healthz(_: Request) -> Response:
    return Response("ok", media_type="text/plain")


async def _openapi(_: Request) -> Response:
    return Response(msgspec.json.encode(description()), headers=_HEADERS, media_type=_JSON)


async def _docs(_: Request) -> Response:
    return HTMLResponse(page(description()), headers=_PAGE_HEADERS)


async def _refused(request: Request, error: Exception) -> Response:
    """The answer to a request without a route, as JSON."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    body = error_body(error.status_code, f"{request.method} {request.scope['path']}: {error.detail}")
    return Response(body, error.status_code, error.headers, media_type=_JSON)
