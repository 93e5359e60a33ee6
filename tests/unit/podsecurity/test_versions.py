"""Each change of the standard applies from its Kubernetes minor on, and not in the minor before."""

from collections.abc import Callable
from typing import Any

import pytest

from webhook.podsecurity import Level, evaluate
from webhook.podsecurity.sysctls import _ADDED

Edit = Callable[[dict[str, Any]], dict[str, Any]]

_APP = "spec containers 0 securityContext"
_WINDOWS = {"spec os": {"name": "windows"}}
_USER_NAMESPACE = {"spec hostUsers": False}


def _checks(pod: dict[str, Any], minor: int) -> list[str]:
    return [reason.check for reason in evaluate(pod, minor).reasons]


@pytest.mark.parametrize(
    ("edits", "minor", "before", "since"),
    [
        ({f"{_APP} capabilities drop": []}, 22, [], ["capabilities_restricted"]),
        ({f"{_APP} capabilities add": ["BPF"]}, 22, ["capabilities_baseline"], ["capabilities_restricted"]),
        ({f"{_APP} runAsUser": 0}, 23, [], ["runAsUser"]),
        ({**_WINDOWS, f"{_APP} allowPrivilegeEscalation": None}, 25, ["allowPrivilegeEscalation"], []),
        ({**_WINDOWS, f"{_APP} capabilities": None}, 25, ["capabilities_restricted"], []),
        ({**_WINDOWS, "spec securityContext seccompProfile": None}, 25, ["seccompProfile_restricted"], []),
        ({f"{_APP} seLinuxOptions type": "container_engine_t"}, 31, ["seLinuxOptions"], []),
        ({"spec containers 0 livenessProbe httpGet host": "h"}, 34, [], ["hostProbesAndHostLifecycle"]),
        ({**_USER_NAMESPACE, f"{_APP} runAsUser": 0}, 35, ["runAsUser"], []),
        ({**_USER_NAMESPACE, f"{_APP} runAsNonRoot": False}, 35, ["runAsNonRoot"], []),
        ({**_USER_NAMESPACE, f"{_APP} procMount": "Unmasked"}, 35, ["procMount"], ["procMount_restricted"]),
    ],
)
def test_a_change_applies_from_its_minor_on(
    edited: Edit, edits: dict[str, Any], minor: int, before: list[str], since: list[str]
):
    pod = edited(edits)
    assert _checks(pod, minor - 1) == before
    assert _checks(pod, minor) == since
    assert _checks(pod, 99) == since


@pytest.mark.parametrize(("minor", "name"), [(minor, name) for minor, names in _ADDED.items() for name in names])
def test_sysctl_is_allowed_from_its_minor_on(edited: Edit, minor: int, name: str):
    pod = edited({"spec securityContext sysctls": [{"name": name, "value": "1"}]})
    allowed = [at for at in range(20, 40) if not _checks(pod, at)]
    assert allowed == list(range(minor, 40))


@pytest.mark.parametrize(
    ("name", "minor"),
    [
        ("net.ipv4.ip_local_reserved_ports", 27),
        ("net.ipv4.tcp_keepalive_time", 29),
        ("net.ipv4.tcp_wmem", 32),
        ("net.ipv4.tcp_notsent_lowat", 37),
    ],
)
def test_sysctl_stands_under_the_right_minor(name: str, minor: int):
    assert name in _ADDED[minor]


@pytest.mark.parametrize(("minor", "level"), [(34, Level.PRIVILEGED), (35, Level.BASELINE)])
def test_user_namespace_makes_unmasked_proc_baseline(edited: Edit, minor: int, level: Level):
    """From 1.35 on the restricted check still forbids it, and no longer replaces the baseline check."""
    verdict = evaluate(edited({**_USER_NAMESPACE, f"{_APP} procMount": "Unmasked"}), minor)
    assert verdict.level is level
    assert [reason.level for reason in verdict.reasons] == [level + 1]


@pytest.mark.parametrize("host_users", [True, None, 0, "false", {}])
def test_only_false_is_a_user_namespace(edited: Edit, host_users: Any):
    assert _checks(edited({"spec hostUsers": host_users, f"{_APP} runAsUser": 0}), 37) == ["runAsUser"]


@pytest.mark.parametrize("os", [None, "windows", {"name": "Windows"}, {"name": "linux"}, ["windows"]])
def test_only_windows_is_windows(edited: Edit, os: Any):
    pod = edited({"spec os": os, f"{_APP} allowPrivilegeEscalation": None})
    assert _checks(pod, 37) == ["allowPrivilegeEscalation"]
