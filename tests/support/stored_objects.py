"""An API server in this process that stores objects and notes every request: for tests that count or order requests.

It serves what the leader's reconciler needs: GET of one object, lists in pages of any size, POST, and DELETE. It checks
nothing, keeps no watch, and writes the field manager of a request into the object as a real API server does.
"""

import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Object = dict[str, Any]


@dataclass
class StoredObjects:
    """Objects by path, and the requests so far as `GET /apis/…` lines without their queries.

    Paths that begin with `unserved` are those of an API that is not served.
    """

    objects: dict[str, Object] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    before_each: Callable[[str], None] | None = None
    unserved: str = "-"
    url: str = ""
    _versions: Any = field(default_factory=lambda: itertools.count(1))

    def put(self, path: str, thing: Object, manager: str = "vmguard") -> Object:
        """Store an object in a collection."""
        meta = dict(thing["metadata"])
        meta |= {"resourceVersion": str(next(self._versions)), "managedFields": [{"manager": manager}]}
        meta.setdefault("uid", f"uid-{meta['resourceVersion']}")
        stored = {**thing, "metadata": meta}
        self.objects[f"{path}/{meta['name']}"] = stored
        return stored

    def made(self, of: str) -> list[str]:
        """The requests that created objects, of a collection or of a namespace, in their order."""
        return [line for line in self.requests if line.startswith("POST ") and of in line]

    async def answer(self, request: web.Request) -> web.Response:
        line = f"{request.method} {request.path}"
        if self.before_each:
            self.before_each(line)
        self.requests.append(line)
        code, body = self._answer(request.method, request.path, await request.text())
        return web.Response(status=code, text=json.dumps(body), content_type="application/json")

    def _answer(self, method: str, path: str, text: str) -> tuple[int, Object]:
        if method == "POST":
            thing = json.loads(text)
            if f"{path}/{thing['metadata']['name']}" in self.objects:
                return 409, {"kind": "Status", "code": 409, "reason": "AlreadyExists"}
            return 201, self.put(path, thing)
        if method == "DELETE":
            return 200, self.objects.pop(path, {"kind": "Status"})
        if path in self.objects:
            return 200, self.objects[path]
        if path.startswith(self.unserved):
            return 404, {}
        *_, plural = path.split("/")
        if plural in _PLURALS:
            return 200, {"metadata": {"resourceVersion": "1"}, "items": list(self._listed(path, plural))}
        return 404, {"kind": "Status", "code": 404, "details": {"name": plural}}

    def _listed(self, path: str, plural: str) -> AsyncIterator[Object]:
        root = path.removesuffix(plural)
        return (
            thing
            for place, thing in sorted(self.objects.items())
            if place.startswith(root) and place.split("/")[-2] == plural
        )


_PLURALS = {"roles", "rolebindings", "podsecuritypolicies", "serviceaccounts", "vmsingles", "events"}


@asynccontextmanager
async def stored_objects() -> AsyncIterator[StoredObjects]:
    """A running API server without objects; `url` leads to it."""
    stored = StoredObjects()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stored.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        stored.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield stored
    finally:
        await runner.cleanup()
