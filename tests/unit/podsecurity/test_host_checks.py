"""The checks of host namespaces, ports, paths, probes and processes give the API server's reasons."""

from collections.abc import Callable
from typing import Any

import pytest

Finding = Callable[..., str | None]

_APP = "spec containers 0"
_SIDE = "spec containers 1"
_DEBUG = "spec ephemeralContainers 0"


@pytest.mark.parametrize(
    ("check", "edits"),
    [
        ("hostNamespaces", {}),
        ("hostNamespaces", {"spec hostNetwork": False, "spec hostPID": None}),
        ("hostNamespaces", {"spec hostIPC": "true"}),
        ("hostPathVolumes", {}),
        ("hostPathVolumes", {"spec volumes": [{"name": "v", "hostPath": None}]}),
        ("hostPorts", {f"{_APP} ports": [{"containerPort": 80}, {"hostPort": 0}, {"hostPort": None}]}),
        ("hostPorts", {f"{_APP} ports": [{"hostPort": True}, {"hostPort": 80.0}, {"hostPort": 1 << 31}]}),
        ("hostProbesAndHostLifecycle", {f"{_APP} livenessProbe": {"httpGet": {"port": 80}}}),
        ("hostProbesAndHostLifecycle", {f"{_APP} lifecycle": {"preStop": {"tcpSocket": {"host": ""}}}}),
        ("privileged", {f"{_APP} securityContext privileged": False}),
        ("privileged", {f"{_APP} securityContext privileged": None}),
        ("windowsHostProcess", {"spec securityContext windowsOptions": {}}),
        ("windowsHostProcess", {f"{_APP} securityContext windowsOptions hostProcess": False}),
    ],
)
def test_an_allowed_host_field_is_no_finding(finding: Finding, check: str, edits: dict[str, Any]):
    """Absent, null, the allowed values, and values of a type the API server could not decode."""
    assert finding(check, edits) is None


@pytest.mark.parametrize(
    ("check", "edits", "said"),
    [
        ("hostNamespaces", {"spec hostNetwork": True}, "host namespaces (hostNetwork=true)"),
        ("hostNamespaces", {"spec hostPID": True}, "host namespaces (hostPID=true)"),
        ("hostNamespaces", {"spec hostIPC": True}, "host namespaces (hostIPC=true)"),
        (
            "hostNamespaces",
            {"spec hostIPC": True, "spec hostPID": True, "spec hostNetwork": True},
            "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
        ),
        ("hostPathVolumes", {"spec volumes": [{"name": "v", "hostPath": {}}]}, 'hostPath volumes (volume "v")'),
        (
            "hostPathVolumes",
            {"spec volumes": [{"name": "v", "hostPath": {"path": "/"}}, {}, {"hostPath": {"path": "/"}}]},
            'hostPath volumes (volumes "v", "")',
        ),
        ("hostPorts", {f"{_APP} ports": [{"hostPort": 80}]}, 'hostPort (container "app" uses hostPort 80)'),
        ("hostPorts", {f"{_APP} ports": [{"hostPort": -1}]}, 'hostPort (container "app" uses hostPort -1)'),
        (
            "hostPorts",
            {f"{_DEBUG} ports": [{"hostPort": 9}], f"{_APP} ports": [{"hostPort": 9}, {"hostPort": 10}]},
            'hostPort (containers "app", "debug" use hostPorts 10, 9)',
        ),
        (
            "hostProbesAndHostLifecycle",
            {f"{_APP} livenessProbe": {"httpGet": {"host": "h"}}},
            'probe or lifecycle host (container "app" uses probe or lifecycle host "h")',
        ),
        (
            "hostProbesAndHostLifecycle",
            {
                f"{_SIDE} readinessProbe tcpSocket host": "b",
                f"{_SIDE} startupProbe httpGet host": "c",
                f"{_APP} lifecycle postStart httpGet host": "a",
                f"{_APP} lifecycle preStop tcpSocket host": "b",
            },
            'probe or lifecycle host (containers "app", "side" use probe or lifecycle hosts "a", "b", "c")',
        ),
        (
            "hostProbesAndHostLifecycle",
            {f"{_APP} livenessProbe httpGet host": "h", "spec initContainers 0 livenessProbe httpGet host": "h"},
            'probe or lifecycle host (containers "app", "init" use probe or lifecycle host "h")',
        ),
        (
            "privileged",
            {f"{_APP} securityContext privileged": True},
            'privileged (container "app" must not set securityContext.privileged=true)',
        ),
        (
            "windowsHostProcess",
            {"spec securityContext windowsOptions hostProcess": True},
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            "windowsHostProcess",
            {
                "spec securityContext windowsOptions hostProcess": True,
                f"{_APP} securityContext windowsOptions hostProcess": True,
                f"{_SIDE} securityContext windowsOptions hostProcess": True,
            },
            'hostProcess (pod and containers "app", "side" must not set '
            "securityContext.windowsOptions.hostProcess=true)",
        ),
    ],
)
def test_a_forbidden_host_field_is_found_in_the_api_servers_words(
    finding: Finding, check: str, edits: dict[str, Any], said: str
):
    """One forbidden field is enough, and the text is the API server's."""
    assert finding(check, edits) == said


def test_a_port_longer_than_python_will_print_is_no_port(finding: Finding):
    """JSON has integers of any length; the API server decodes 32 bits."""
    assert finding("hostPorts", {f"{_APP} ports": [{"hostPort": 10**5000}]}) is None
