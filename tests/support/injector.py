"""Another mutating webhook: it changes each pod that the API server sends, as service meshes do."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.controlplane.api import Object
from tests.controlplane.registration import LABEL
from tests.support.tls_server import over_trusted_tls
from webhook.policy.token_volume import TOKEN_PATH

Mutate = Callable[[str, Object], list[dict[str, Any]]]
"""From the path that the API server calls, without its slash, and a pod, to a JSON Patch."""

_CONTEXT = "/spec/containers/0/securityContext"
_SEEN = "example.com~1seen"


def add_container(name: str, pod: Object) -> list[dict[str, Any]]:
    """Adds one container of that name."""
    if name in {container["name"] for container in pod["spec"]["containers"]}:
        return []
    return [{"op": "add", "path": "/spec/containers/-", "value": {"name": name, "image": "mesh"}}]


def make_privileged(_name: str, _pod: Object) -> list[dict[str, Any]]:
    """Makes the first container privileged, in place of the whole security context that it has."""
    return [{"op": "add", "path": _CONTEXT, "value": {"privileged": True}}]


def make_privileged_at_last(name: str, pod: Object) -> list[dict[str, Any]]:
    """As `make_privileged`, when no mutating webhook runs after it."""
    return _at_last(pod, make_privileged(name, pod))


def weaken_at_last(_name: str, pod: Object) -> list[dict[str, Any]]:
    """Gives the first container privileges that its resource does not set, when no mutating webhook runs after it."""
    weaker = {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}}
    return _at_last(pod, [{"op": "add", "path": _CONTEXT, "value": weaker}])


def mount_token_at_last(_name: str, pod: Object) -> list[dict[str, Any]]:
    """Mounts a token of its own in the first container, when no mutating webhook runs after it."""
    volume = {"name": "mine", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    mount = {"name": "mine", "mountPath": TOKEN_PATH}
    volumes = pod["spec"].get("volumes", [])
    operations = [
        {"op": "add", "path": "/spec/volumes", "value": [*volumes, volume]},
        {"op": "add", "path": "/spec/containers/0/volumeMounts", "value": [mount]},
    ]
    return _at_last(pod, operations)


def _at_last(pod: Object, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The operations when the API server calls for the second time.

    The first call takes the first container's security context away. That brings the API server to call every webhook
    again.
    """
    if "example.com/seen" in pod["metadata"].get("annotations", {}):
        return operations
    marked = {"op": "add", "path": "/metadata/annotations", "value": {"example.com/seen": "once"}}
    if pod["metadata"].get("annotations"):
        marked = {"op": "add", "path": f"/metadata/annotations/{_SEEN}", "value": "once"}
    return [marked, {"op": "add", "path": _CONTEXT, "value": {}}]


def registration(name: str, base: str, ca: bytes, label: str) -> Object:
    """The configuration that lets the API server call a running injector, in the namespaces with this value of LABEL.

    The API server calls webhooks in the order of their configurations' names.
    """
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": f"{name}.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                "clientConfig": {"url": f"{base}/{name}", "caBundle": base64.b64encode(ca).decode()},
                "namespaceSelector": {"matchLabels": {LABEL: label}},
                "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
            }
        ],
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    mutate: Mutate


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        response = {"uid": request["uid"], "allowed": True}
        name = self.path.partition("?")[0].strip("/")
        if patch := self.server.mutate(name, request["object"]):
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def injecting(folder: Path, mutate: Mutate = add_container) -> Iterator[tuple[str, bytes]]:
    """`(base url, authority's PEM)` of a running injector."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.mutate = mutate
    with over_trusted_tls(server, folder) as reached:
        yield reached
