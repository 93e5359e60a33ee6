"""A compliant pod, and the functions that change it one field at a time."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from webhook.podsecurity.pod_view import read_pod
from webhook.podsecurity.registry import CHECKS

_BY_ID = {check.id: check for check in CHECKS}


def _container(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


_COMPLIANT = {
    "metadata": {"annotations": {}},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [_container("init")],
        "containers": [_container("app"), _container("side")],
        "ephemeralContainers": [_container("debug")],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}


def _put(node: Any, keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if isinstance(node, list):
        node[int(keys[-1])] = value
    else:
        node[keys[-1]] = value


Edit = Callable[[dict[str, Any]], dict[str, Any]]
Finding = Callable[..., str | None]


@pytest.fixture
def edited() -> Edit:
    """The compliant pod with values put at paths, whose steps are separated by spaces."""

    def edit(edits: dict[str, Any]) -> dict[str, Any]:
        pod = copy.deepcopy(_COMPLIANT)
        for path, value in edits.items():
            _put(pod, path.split(), copy.deepcopy(value))
        return pod

    return edit


@pytest.fixture
def finding(edited: Edit) -> Finding:
    """What one check says of the edited pod, as `reason (detail)`, None if nothing."""

    def find(check: str, edits: dict[str, Any], minor: int = 37) -> str | None:
        rule = _BY_ID[check].rule(minor)
        assert rule is not None, f"{check} does not exist at 1.{minor}"
        forbidden = rule(read_pod(edited(edits)))
        return forbidden and f"{forbidden.reason} ({forbidden.detail})"

    return find
