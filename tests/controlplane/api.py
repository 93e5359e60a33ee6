"""A small client of the Kubernetes API: JSON over one kept connection, objects as the API server has them.

It retries nothing and caches only where each kind's path is. Any answer that is no success is an ApiError.
"""

import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from tests.support.patience import PATIENCE

Object = dict[str, Any]
T = TypeVar("T")

_MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """The API server said no; `status` is HTTP's, `body` its Status object."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status}: {body.get('message', body) if isinstance(body, dict) else body}")


class Api:
    """One user's connection to one API server. `warnings` are those of the last answer."""

    def __init__(self, url: str, context: ssl.SSLContext, token: str = "") -> None:
        self.warnings: list[str] = []
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, verify=context, timeout=PATIENCE, trust_env=False, headers=headers)
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json", **query: str):
        """The decoded body of one request; text where it is no JSON."""
        headers = {"Content-Type": content_type} if body is not None else {}
        response = self._http.request(method, path, json=body, headers=headers, params=query)
        self.warnings = [_warning(header) for header in response.headers.get_list("warning")]
        is_json = response.headers.get("content-type", "").startswith("application/json")
        answer = response.json() if is_json else response.text
        if not response.is_success:
            raise ApiError(response.status_code, answer)
        return answer

    def path(self, api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
        """Where a kind is, by discovery; a new kind is found as soon as it is served."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        if (api_version, kind) not in self._resources:
            found = {r["kind"]: r for r in self.request("GET", root)["resources"] if "/" not in r["name"]}
            if kind not in found:
                raise ApiError(404, {"message": f"{api_version} serves no {kind}"})
            self._resources[api_version, kind] = found[kind]["name"], found[kind]["namespaced"]
        plural, namespaced = self._resources[api_version, kind]
        parts = [
            root,
            *(["namespaces", namespace] if namespaced and namespace else []),
            plural,
            *([name] if name else []),
        ]
        return "/".join(parts)

    def create(self, thing: Object, namespace: str = "", **query: str) -> Object:
        """Create an object; `dryRun="All"` and the like are query parameters."""
        where = self.path(thing["apiVersion"], thing["kind"], namespace or thing["metadata"].get("namespace", ""))
        return self.request("POST", where, thing, **query)

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object:
        return self.request("GET", self.path(api_version, kind, namespace, name))

    def find(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """The object, None when there is none."""
        try:
            return self.get(api_version, kind, name, namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether a kind can be used: discovery names it (404 before), and its storage is there (429 before)."""
        self._resources.pop((api_version, kind), None)
        try:
            self.list(api_version, kind)
        except ApiError:
            return False
        return True

    def list(self, api_version: str, kind: str, namespace: str = "", **query: str) -> list[Object]:
        """All objects, in a namespace or everywhere; `labelSelector` and the like are query parameters."""
        return self.request("GET", self.path(api_version, kind, namespace), **query)["items"]

    def patch(
        self, api_version: str, kind: str, name: str, body: Any, namespace: str = "", how: str = _MERGE
    ) -> Object:
        """Change an object by a merge patch, or by another kind of patch by its media type."""
        return self.request("PATCH", self.path(api_version, kind, namespace, name), body, how)

    def replace(self, thing: Object) -> Object:
        """Write a whole object back."""
        meta = thing["metadata"]
        where = self.path(thing["apiVersion"], thing["kind"], meta.get("namespace", ""), meta["name"])
        return self.request("PUT", where, thing)

    def delete(self, api_version: str, kind: str, name: str, namespace: str = "", **query: str) -> None:
        self.request("DELETE", self.path(api_version, kind, namespace, name), **query)

    def delete_if_there(self, api_version: str, kind: str, name: str, namespace: str = "") -> None:
        """Delete an object that may be gone, or whose API server may be."""
        try:
            self.delete(api_version, kind, name, namespace)
        except (ApiError, httpx.TransportError):
            return


def _warning(header: str) -> str:
    """The text in `299 - "text"`."""
    return header.split(" ", 2)[2].removeprefix('"').removesuffix('"').replace('\\"', '"')


def wait_for(probe: Callable[[], T | None], what: str, timeout: float = PATIENCE, interval: float = 0.05) -> T:
    """What the probe returns as soon as that is true.

    Raises:
        TimeoutError: it never was within `timeout` seconds; `what` says what was waited for.

    """
    end = time.monotonic() + timeout
    while not (value := probe()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout:g} s for {what}; last seen: {value!r}")
        time.sleep(interval)
    return value
