"""The ways to make pods strict in a control plane: what each registers, and how long until the API server uses it.

Every way must make the security contexts that the recorded operator makes; this is checked before a way is timed.
"""

import base64
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.cel_policy import strict_policy
from bench.contestants import Contestant, Ground
from bench.recorded import contexts
from tests.controlplane.api import Api, wait_for
from tests.support.golden import Case, projection
from webhook.manifests.webhooks import Url, configurations

Object = dict[str, Any]

NONE, SHIPPED, DENY, CEL, TYPED = "no webhook", "vmguard", "vmguard deny", "policy in CEL", "typed-go"

_CALLS = re.compile(r"^apiserver_admission_webhook_request_total\{.*\} (\S+)$", re.MULTILINE)
_FORGOTTEN = 1.0
"""Seconds after which the API server, which learns of it by a watch, uses no registration that was deleted."""


@dataclass(frozen=True)
class Way:
    """One way: what it registers, the server that it calls (None: the API server does it) and its calls for a pod."""

    name: str
    registers: tuple[Object, ...] = ()
    server: Contestant | None = None
    calls: int = 0


def ways(vmguard: Contestant, typed: Contestant, others: Sequence[Contestant], ground: Ground) -> list[Way]:
    """All ways; `others` are the vmguards of other checkouts, registered as this one is."""
    return [
        Way(NONE),
        Way(SHIPPED, _shipped(vmguard, ground), vmguard, 1),
        Way(DENY, configurations(Url(vmguard.url), ground.authority(), enforce_deny=True), vmguard, 2),
        Way(CEL, tuple(strict_policy())),
        Way(TYPED, (_typed(typed, ground),), typed, 1),
        *(Way(other.name, _shipped(other, ground), other, 1) for other in others),
    ]


@contextmanager
def in_force(way: Way, api: Api, chosen: Sequence[Case], pods: Sequence[Object]) -> Iterator[None]:
    """Register a way for the time of the block, which begins when the API server uses it and it made every case right.

    Raises:
        AssertionError: it makes another pod than the recorded operator, or with more or fewer calls.

    """
    for thing in way.registers:
        api.create(thing)
    try:
        if way.registers:
            _check(way, api, chosen, pods)
        yield
    finally:
        for thing in way.registers:
            api.delete(thing["apiVersion"], thing["kind"], thing["metadata"]["name"])
        time.sleep(_FORGOTTEN)


def _shipped(server: Contestant, ground: Ground) -> tuple[Object, ...]:
    """The configurations that vmguard is installed with; outside of enforced namespaces a pod needs one call."""
    return configurations(Url(server.url), ground.authority())


def _typed(server: Contestant, ground: Ground) -> Object:
    hook = {
        "name": "bench.vmguard.example",
        "clientConfig": {
            "url": f"{server.url}/mutate",
            "caBundle": base64.b64encode(ground.authority()).decode(),
        },
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "bench"},
        "webhooks": [hook],
    }


def _check(way: Way, api: Api, chosen: Sequence[Case], pods: Sequence[Object]) -> None:
    wanted = [contexts(case.expected) for case in chosen]

    def made(number: int) -> Object:
        return contexts(projection(api.create(pods[number], dryRun="All")))

    def used() -> bool:
        before = _calls(api)
        return made(0) == wanted[0] and _calls(api) - before == way.calls

    wait_for(used, f"{way.name} to be used", 30, 0.2)
    before = _calls(api)
    for number, case in enumerate(chosen):
        assert made(number) == wanted[number], f"{way.name} on {case.path.name}"
    assert _calls(api) - before == way.calls * len(chosen), f"{way.name} is called {way.calls} times for each pod"


def _calls(api: Api) -> int:
    """How many calls of webhooks the API server has counted."""
    return sum(int(float(count)) for count in _CALLS.findall(api.request("GET", "/metrics")))
