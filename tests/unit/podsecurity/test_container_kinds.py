"""Every check reads all three kinds of containers."""

from collections.abc import Callable
from typing import Any

import pytest

from webhook.podsecurity import Level, evaluate

_BREAKS = {
    "allowPrivilegeEscalation": {"securityContext allowPrivilegeEscalation": True},
    "appArmorProfile": {"securityContext appArmorProfile type": "Unconfined"},
    "capabilities_restricted": {"securityContext capabilities add": ["NET_RAW"]},
    "hostPorts": {"ports": [{"hostPort": 80}]},
    "hostProbesAndHostLifecycle": {"livenessProbe tcpSocket host": "h"},
    "privileged": {"securityContext privileged": True},
    "procMount_restricted": {"securityContext procMount": "Unmasked"},
    "runAsNonRoot": {"securityContext runAsNonRoot": False},
    "runAsUser": {"securityContext runAsUser": 0},
    "seLinuxOptions": {"securityContext seLinuxOptions role": "r"},
    "seccompProfile_restricted": {"securityContext seccompProfile type": "Unconfined"},
    "windowsHostProcess": {"securityContext windowsOptions hostProcess": True},
}
_STRICT_ONLY = {"allowPrivilegeEscalation", "runAsNonRoot", "runAsUser"}
_KINDS = {"init": "spec initContainers 0", "side": "spec containers 1", "debug": "spec ephemeralContainers 0"}

Edit = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize("name", _KINDS)
@pytest.mark.parametrize("check", _BREAKS)
def test_one_container_of_any_kind_breaks_exactly_its_check(edited: Edit, check: str, name: str):
    """The other checks stay silent, the container is named, and the level is the one the check leaves."""
    verdict = evaluate(edited({f"{_KINDS[name]} {path}": value for path, value in _BREAKS[check].items()}), 37)
    assert [reason.check for reason in verdict.reasons] == [check]
    assert f'container "{name}"' in verdict.reasons[0].detail
    assert verdict.level is (Level.BASELINE if check in _STRICT_ONLY else Level.PRIVILEGED)


def test_a_null_in_a_list_is_an_empty_container(edited: Edit):
    """That is how the API server decodes it; an element of any other type is none."""
    verdict = evaluate(edited({"spec containers": [None, 7, "x", []]}), 37)
    assert [reason.check for reason in verdict.reasons] == ["allowPrivilegeEscalation", "capabilities_restricted"]
    assert verdict.reasons[0].detail.startswith('container "" must')
