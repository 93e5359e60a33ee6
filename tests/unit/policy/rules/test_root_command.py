"""root-command: a container that runs a program which only root may run must run as root."""

import pytest

from tests.support.audited_pods import audited
from tests.support.preview_warnings import warnings_on
from tests.support.sample_pods import resource

SYSCTL = {
    "name": "sysctl",
    "image": "busybox",
    "command": ["sysctl", "-w", "vm.max_map_count=262144"],
    "securityContext": {"privileged": True},
}
FIX = "Give it securityContext: {runAsUser: 0, runAsNonRoot: false} [root-command]"


def _init(*command, **more):
    container = {**SYSCTL, **more, **({"command": list(command)} if command else {})}
    return {"initContainers": [container]}


def test_a_privileged_init_container_that_takes_the_user_of_a_strict_pod_cannot_set_a_kernel_parameter():
    assert warnings_on("VMSingle", _init(), "root-command") == [
        "vmsingle: init container 'sysctl' runs sysctl as user 65534: only root may, so it fails and the pod may not"
        f" start. {FIX}"
    ]


def test_to_harden_the_container_is_no_advice():
    spec = _init("sh", "-c", "apk add curl", securityContext={})
    assert warnings_on("VMSingle", spec, "sidecar") == []
    assert len(warnings_on("VMSingle", spec, "root-command")) == 1


@pytest.mark.parametrize(
    "spec",
    [
        _init(securityContext={"runAsUser": 0, "runAsNonRoot": False, "privileged": True}),
        {"useStrictSecurity": False, **_init()},
    ],
    ids=str,
)
def test_root_may(spec):
    assert warnings_on("VMSingle", spec, "root-command") == []


@pytest.mark.parametrize(
    ("command", "done"),
    [
        (["/sbin/sysctl", "vm.max_map_count=1"], "runs sysctl"),
        (["sh", "-c", "ulimit -n 1; sysctl -w 'vm.max_map_count=1'"], "runs sysctl"),
        (["sh", "-c", 'sysctl "vm.max_map_count=1"'], "runs sysctl"),
        (["sh", "-c", "set -e\napk add --no-cache curl"], "runs apk"),
        (["sh", "-c", "DEBIAN_FRONTEND=noninteractive apt-get -y install curl"], "runs apt-get"),
        (["sh", "-ec", "if true; then /usr/sbin/iptables -t nat -A X; fi"], "runs iptables"),
        (["sh", "-c", "cp /ca/* /x && update-ca-certificates"], "runs update-ca-certificates"),
        (["sh", "-c", "update-ca-certificates"], "runs update-ca-certificates"),
        (["update-ca-certificates"], "runs update-ca-certificates"),
        (["mount", "-t", "tmpfs", "none", "/x"], "runs mount"),
        (["sh", "-c", "echo never > /sys/kernel/mm/transparent_hugepage/enabled"], "writes to /sys/"),
        (["sh", "-c", "echo 1 | tee /proc/sys/vm/overcommit_memory"], "writes to /proc/sys/"),
        (["sh", "-c", "exec su-exec 65534 /bin/app"], "runs su-exec"),
        (["blockdev", "--setra", "16", "/dev/sda"], "runs blockdev"),
        (["sh", "-c", "ip route add 10.0.0.0/8 via 10.1.1.1"], "runs ip"),
        (["sh", "-c", "ip route"], ""),
        (["sysctl", "-n", "vm.max_map_count"], ""),
        (["sh", "-c", "sysctl vm.max_map_count"], ""),
        (["sh", "-c", "cat /sys/x > /data/x"], ""),
        (["rclone", "mount", "remote:", "/x"], ""),
        (["sh", "-c", "rclone mount remote: /x"], ""),
        (["sh", "-c", "# sysctl -w a=1\nls"], ""),
        (["sh", "-c", "echo 'run sysctl -w a=1'"], ""),
        (["sh", "-c", "apk info curl"], ""),
        ([], ""),
    ],
    ids=str,
)
def test_what_only_root_may_do_is_found(command, done):
    container = {"name": "x", "image": "x", "command": command}
    for spec in ({"initContainers": [container]}, {"containers": [container]}):
        warnings = warnings_on("VMSingle", spec, "root-command")
        assert [each.partition("'x' ")[2].partition(" as user")[0] for each in warnings] == ([done] if done else [])


def test_the_hook_of_a_sidecar_counts():
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "sysctl -w a=1 || true"]}}}
    container = {"name": "x", "image": "x", "lifecycle": hook}
    (warning,) = warnings_on("VMAuth", {"containers": [container]}, "root-command")
    assert "container 'x' runs sysctl as user 65534: only root may, so it may have no effect. Give" in warning


def test_another_user_than_root_is_enough():
    spec = {"securityContext": {"runAsNonRoot": True}, **_init()}
    (warning,) = warnings_on("VLSingle", spec, "root-command")
    assert " runs sysctl as another user than root: " in warning


def test_an_audit_says_check():
    (row,) = audited(resource("VMSingle", spec=_init("sh", "-c", "echo 1 > /proc/sys/vm/x")))
    (finding,) = [each for each in row.findings if each.id == "root-command"]
    assert (finding.verdict, "writes to /proc/sys/" in finding.text) == ("CHECK", True)
