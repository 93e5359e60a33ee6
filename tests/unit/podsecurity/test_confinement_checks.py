"""The checks of capabilities, seccomp, AppArmor, SELinux, /proc and sysctls give the API server's reasons."""

from collections.abc import Callable
from typing import Any

import pytest

Finding = Callable[..., str | None]

_POD = "spec securityContext"
_APP = "spec containers 0 securityContext"
_SIDE = "spec containers 1 securityContext"
_ANNOTATIONS = "metadata annotations"
_ARMOR = "container.apparmor.security.beta.kubernetes.io/"


@pytest.mark.parametrize(
    ("check", "edits"),
    [
        ("appArmorProfile", {f"{_POD} appArmorProfile type": "RuntimeDefault"}),
        ("appArmorProfile", {f"{_APP} appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}),
        ("appArmorProfile", {f"{_APP} appArmorProfile": None, f"{_SIDE} appArmorProfile": "Unconfined"}),
        (
            "appArmorProfile",
            {_ANNOTATIONS: {f"{_ARMOR}a": "runtime/default", f"{_ARMOR}b": "localhost/p", f"{_ARMOR}c": ""}},
        ),
        ("appArmorProfile", {_ANNOTATIONS: {f"{_ARMOR}a": None, "other.io/a": "unconfined"}}),
        ("capabilities_baseline", {f"{_APP} capabilities": {"add": ["CHOWN", "NET_BIND_SERVICE", "SYS_CHROOT"]}}),
        ("capabilities_baseline", {f"{_APP} capabilities": {"add": None, "drop": ["NET_RAW"]}}),
        ("capabilities_restricted", {f"{_APP} capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["CHOWN", "ALL"]}}),
        ("procMount", {f"{_APP} procMount": "Default", f"{_SIDE} procMount": None}),
        ("procMount_restricted", {f"{_APP} procMount": "Default"}),
        ("seLinuxOptions", {f"{_APP} seLinuxOptions": {"level": "s0", "type": "container_init_t", "user": ""}}),
        ("seLinuxOptions", {f"{_POD} seLinuxOptions": {"type": "container_t"}, f"{_APP} seLinuxOptions": {}}),
        ("seccompProfile_baseline", {_POD: {}}),
        ("seccompProfile_baseline", {f"{_APP} seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}),
        ("seccompProfile_restricted", {}),
        ("sysctls", {f"{_POD} sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}),
        ("sysctls", {f"{_POD} sysctls": None}),
    ],
)
def test_an_allowed_confinement_is_no_finding(finding: Finding, check: str, edits: dict[str, Any]):
    """Absent, null, the allowed values, and values of a type the API server could not decode."""
    assert finding(check, edits) is None


@pytest.mark.parametrize(
    ("check", "edits", "said"),
    [
        (
            "appArmorProfile",
            {f"{_POD} appArmorProfile type": "Unconfined"},
            'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
        ),
        (
            "appArmorProfile",
            {f"{_APP} appArmorProfile": {}},
            'forbidden AppArmor profile (container "app" must not set AppArmor profile type to "")',
        ),
        (
            "appArmorProfile",
            {_ANNOTATIONS: {f"{_ARMOR}app": "unconfined"}},
            f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{_ARMOR}app="unconfined"")',
        ),
        (
            "appArmorProfile",
            {
                f"{_POD} appArmorProfile type": "Unconfined",
                f"{_APP} appArmorProfile type": "Other",
                _ANNOTATIONS: {f"{_ARMOR}b": 'x"\\\n\x01\x7f\u00e9\u200b\U000e0001', f"{_ARMOR}a": "localhost"},
            },
            'forbidden AppArmor profiles (pod and container "app" and annotations must not set AppArmor profile type '
            f'to "Other", "Unconfined", "{_ARMOR}a="localhost"", '
            f'"{_ARMOR}b="x\\"\\\\\\n\\x01\\x7f\u00e9\\u200b\\U000e0001"")',
        ),
        (
            "capabilities_baseline",
            {f"{_SIDE} capabilities add": ["CHOWN", "SYS_TIME"], f"{_APP} capabilities add": ["NET_RAW", "BPF"]},
            'non-default capabilities (containers "app", "side" must not include "BPF", "NET_RAW", "SYS_TIME" in '
            "securityContext.capabilities.add)",
        ),
        (
            "capabilities_baseline",
            {f"{_APP} capabilities add": [None]},
            'non-default capabilities (container "app" must not include "" in securityContext.capabilities.add)',
        ),
        (
            "capabilities_restricted",
            {f"{_APP} capabilities": None, f"{_SIDE} capabilities drop": ["all"]},
            'unrestricted capabilities (containers "app", "side" must set securityContext.capabilities.drop=["ALL"])',
        ),
        (
            "capabilities_restricted",
            {f"{_APP} capabilities": {"add": ["CHOWN"]}, f"{_SIDE} capabilities add": ["BPF"]},
            'unrestricted capabilities (container "app" must set securityContext.capabilities.drop=["ALL"]; '
            'containers "app", "side" must not include "BPF", "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            "procMount",
            {f"{_APP} procMount": "Unmasked", f"{_SIDE} procMount": ""},
            'procMount (containers "app", "side" must not set securityContext.procMount to "", "Unmasked")',
        ),
        (
            "procMount_restricted",
            {f"{_APP} procMount": "Unmasked"},
            'procMount (container "app" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            "seLinuxOptions",
            {f"{_POD} seLinuxOptions type": "spc_t"},
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t")',
        ),
        (
            "seLinuxOptions",
            {f"{_APP} seLinuxOptions user": "u"},
            'seLinuxOptions (container "app" set forbidden securityContext.seLinuxOptions: user may not be set)',
        ),
        (
            "seLinuxOptions",
            {
                f"{_POD} seLinuxOptions": {"role": "r", "type": "z_t"},
                f"{_APP} seLinuxOptions": {"user": "u", "type": "a_t"},
            },
            'seLinuxOptions (pod and container "app" set forbidden securityContext.seLinuxOptions: '
            'types "a_t", "z_t"; user may not be set; role may not be set)',
        ),
        (
            "seccompProfile_baseline",
            {f"{_APP} seccompProfile type": "Unconfined"},
            'seccompProfile (container "app" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            "seccompProfile_restricted",
            {f"{_POD} seccompProfile type": "Unconfined", f"{_APP} seccompProfile": {}},
            'seccompProfile (pod and container "app" must not set securityContext.seccompProfile.type to '
            '"", "Unconfined")',
        ),
        (
            "seccompProfile_restricted",
            {f"{_POD} seccompProfile": None, f"{_APP} seccompProfile type": "Localhost"},
            'seccompProfile (pod or containers "init", "side", "debug" must set securityContext.seccompProfile.type to '
            '"RuntimeDefault" or "Localhost")',
        ),
        (
            "sysctls",
            {f"{_POD} sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}, {"name": "fs.mqueue"}]},
            "forbidden sysctls (kernel.msgmax, fs.mqueue)",
        ),
    ],
)
def test_a_forbidden_confinement_is_found_in_the_api_servers_words(
    finding: Finding, check: str, edits: dict[str, Any], said: str
):
    """One forbidden field is enough, and the text is the API server's."""
    assert finding(check, edits) == said


def test_seccomp_of_every_container_stands_in_for_the_pods(finding: Finding):
    kinds = ("initContainers 0", "containers 0", "containers 1", "ephemeralContainers 0")
    own = {f"spec {kind} securityContext seccompProfile type": "Localhost" for kind in kinds}
    assert finding("seccompProfile_restricted", {f"{_POD} seccompProfile": None, **own}) is None
