"""The checks of users, privilege escalation and volume types give the API server's reasons."""

from collections.abc import Callable
from typing import Any

import pytest

from webhook.podsecurity.restricted_volumes import _ALLOWED, _RESTRICTED

Finding = Callable[..., str | None]

_POD = "spec securityContext"
_APP = "spec containers 0 securityContext"
_SIDE = "spec containers 1 securityContext"
_EVERY = [
    f"spec {kind} securityContext runAsNonRoot"
    for kind in ("initContainers 0", "containers 0", "containers 1", "ephemeralContainers 0")
]


@pytest.mark.parametrize(
    ("check", "edits"),
    [
        ("allowPrivilegeEscalation", {}),
        ("runAsNonRoot", {f"{_APP} runAsNonRoot": None, f"{_SIDE} runAsNonRoot": True}),
        ("runAsNonRoot", {f"{_POD} runAsNonRoot": None, **dict.fromkeys(_EVERY, True)}),
        ("runAsUser", {f"{_POD} runAsUser": 1000, f"{_APP} runAsUser": None}),
        ("runAsUser", {f"{_POD} runAsUser": False, f"{_APP} runAsUser": 0.0, f"{_SIDE} runAsUser": "0"}),
        ("restrictedVolumes", {"spec volumes": None}),
        ("restrictedVolumes", {"spec volumes": [{"name": "v"}, {"name": "w", "hostPath": None}, None]}),
        ("restrictedVolumes", {"spec volumes": [{"name": "v", "hostPath": {}, "emptyDir": {}}]}),
    ],
)
def test_an_allowed_restricted_field_is_no_finding(finding: Finding, check: str, edits: dict[str, Any]):
    """The wanted values, from the pod where it may say them; a volume without a source becomes an emptyDir."""
    assert finding(check, edits) is None


@pytest.mark.parametrize(
    ("check", "edits", "said"),
    [
        (
            "allowPrivilegeEscalation",
            {f"{_APP} allowPrivilegeEscalation": None},
            "allowPrivilegeEscalation != false "
            '(container "app" must set securityContext.allowPrivilegeEscalation=false)',
        ),
        (
            "allowPrivilegeEscalation",
            {f"{_APP} allowPrivilegeEscalation": True, _SIDE: None},
            "allowPrivilegeEscalation != false "
            '(containers "app", "side" must set securityContext.allowPrivilegeEscalation=false)',
        ),
        (
            "runAsNonRoot",
            {f"{_POD} runAsNonRoot": None, f"{_APP} runAsNonRoot": True},
            "runAsNonRoot != true "
            '(pod or containers "init", "side", "debug" must set securityContext.runAsNonRoot=true)',
        ),
        (
            "runAsNonRoot",
            {f"{_POD} runAsNonRoot": False, **dict.fromkeys(_EVERY, True)},
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            "runAsNonRoot",
            {f"{_POD} runAsNonRoot": False, f"{_APP} runAsNonRoot": False},
            'runAsNonRoot != true (pod and container "app" must not set securityContext.runAsNonRoot=false)',
        ),
        (
            "runAsNonRoot",
            {f"{_APP} runAsNonRoot": False},
            'runAsNonRoot != true (container "app" must not set securityContext.runAsNonRoot=false)',
        ),
        ("runAsUser", {f"{_POD} runAsUser": 0}, "runAsUser=0 (pod must not set runAsUser=0)"),
        (
            "runAsUser",
            {f"{_POD} runAsUser": 0, f"{_APP} runAsUser": 0, f"{_SIDE} runAsUser": 0},
            'runAsUser=0 (pod and containers "app", "side" must not set runAsUser=0)',
        ),
        (
            "restrictedVolumes",
            {"spec volumes": [{"name": "v", "nfs": {}}]},
            'restricted volume types (volume "v" uses restricted volume type "nfs")',
        ),
        (
            "restrictedVolumes",
            {"spec volumes": [{"name": "v", "nfs": {}}, {"name": "w", "nfs": {}}, {"name": "x", "hostPath": {}}]},
            'restricted volume types (volumes "v", "w", "x" use restricted volume types "hostPath", "nfs")',
        ),
        (
            "restrictedVolumes",
            {"spec volumes": [{"name": "v", "brandNew": {}}, {"name": "w", "emptyDir": "yes"}]},
            'restricted volume types (volumes "v", "w" use restricted volume type "unknown")',
        ),
    ],
)
def test_a_forbidden_restricted_field_is_found_in_the_api_servers_words(
    finding: Finding, check: str, edits: dict[str, Any], said: str
):
    """One forbidden or missing field is enough, and the text is the API server's."""
    assert finding(check, edits) == said


@pytest.mark.parametrize("source", sorted(_ALLOWED))
def test_an_allowed_volume_source_is_no_finding(finding: Finding, source: str):
    assert finding("restrictedVolumes", {"spec volumes": [{"name": "v", source: {}}]}) is None


@pytest.mark.parametrize("source", _RESTRICTED)
def test_restricted_volume_source_is_named(finding: Finding, source: str):
    said = finding("restrictedVolumes", {"spec volumes": [{source: {}, "name": "v"}]})
    assert said == f'restricted volume types (volume "v" uses restricted volume type "{source}")'


def test_volume_sources_are_those_of_the_standard():
    """The nine sources of the published standard; one more here would let a pod through."""
    assert " ".join(sorted(_ALLOWED)) == (
        "configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret"
    )
