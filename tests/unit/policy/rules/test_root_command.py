"""root-command: a container that runs a program which only root may run must run as root."""

import pytest

from tests.support.audited_pods import audited
from tests.support.preview_warnings import warnings_on
from tests.support.sample_pods import resource
from webhook.policy.rules.root_programs import PROGRAMS, done_as_root, words

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
        f"vmsingle: init container 'sysctl' runs sysctl as user 65534: it fails and the pod may not start. {FIX}"
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
        (["sh", "-c", "until apk add curl; do sleep 1; done"], "runs apk"),
        (["busybox", "sysctl", "-w", "a=1"], "runs sysctl"),
        (["nsenter", "-t", "1", "-m", "--", "ls"], "runs nsenter"),
        (["sh", "-c", "{ dpkg -i /x.deb; }"], "runs dpkg"),
        (["sh", "-c", "mount | grep data"], ""),
        (["sh", "-c", "mount 2>/dev/null"], ""),
        (["sh", "-c", "mount=/data; du -sh $mount"], ""),
        (["sh", "-c", "echo 'not ready; mount it'"], ""),
        (["sh", "-c", "echo 'fix: echo never > /sys/kernel/mm/x'"], ""),
        (["sh", "-c", "echo never > /host-sys/kernel/mm/transparent_hugepage/enabled"], "writes to /kernel/mm/"),
        (["sh", "-c", 'if [ "$(id -u)" = 0 ]; then exec gosu app "$0"; fi'], ""),
        (["sudo", "sysctl", "-w", "a=1"], ""),
        (["sysctl", "-a", "--pattern=net"], ""),
        (["app", "--target=/data/mount", "--interval=60s"], ""),
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


@pytest.mark.parametrize(
    ("arguments", "done"),
    [(["mount", "remote:", "/x"], ""), (["--target=/data/mount", "x"], ""), (["apk", "add", "curl"], "runs apk")],
    ids=str,
)
def test_arguments_alone_may_be_those_of_another_program(arguments, done):
    found = done_as_root({"args": arguments})
    assert (found.text if found else "") == done


def test_the_hook_of_a_sidecar_counts():
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "sysctl -w a=1 || true"]}}}
    container = {"name": "x", "image": "x", "lifecycle": hook}
    (warning,) = warnings_on("VMAuth", {"containers": [container]}, "root-command")
    assert "container 'x' runs sysctl as user 65534: it may have no effect. Give" in warning


def test_another_user_than_root_is_enough():
    spec = {"securityContext": {"runAsNonRoot": True}, **_init()}
    (warning,) = warnings_on("VLSingle", spec, "root-command")
    assert " runs sysctl as another user than root: " in warning


@pytest.mark.parametrize(
    ("context", "why"),
    [
        (
            {"runAsUser": 0},
            "as root, but runAsNonRoot is true: the kubelet will not start it. Give it",
        ),
        (
            {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"drop": ["ALL"]}},
            "without the capability CHOWN: it fails and the pod may not start. Give it capabilities: {add: [CHOWN]}",
        ),
        (
            {"runAsUser": 0, "runAsNonRoot": False, "readOnlyRootFilesystem": True},
            "with a read-only root filesystem: it fails and the pod may not start. Give it readOnlyRoot",
        ),
    ],
    ids=str,
)
def test_root_needs_more_for_a_package(context, why):
    (warning,) = warnings_on("VMSingle", _init("apk", "add", "curl", securityContext=context), "root-command")
    assert f"init container 'sysctl' runs apk {why}" in warning


def test_a_container_that_vmguard_hardens_gets_what_the_program_needs():
    """It fills `drop: [ALL]` and a read-only root filesystem into containers of the user then."""
    root = {"runAsUser": 0, "runAsNonRoot": False}
    spec = _init("apk", "add", "curl", securityContext=root)
    (warning,) = warnings_on("VMSingle", spec, "root-command", VMGUARD_HARDEN_SIDECARS="true")
    assert "without the capability CHOWN" in warning


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_what_an_audit_keeps_of_a_command_is_the_same_finding(program):
    """It keeps no other word of the command."""
    row = PROGRAMS[program]
    argument = next(each for each in ("add", "-i", "--set", "-w", "-A", "a=1") if row.argument.fullmatch(each))
    done = done_as_root({"command": [program, argument, "secret"]})
    assert done is not None
    kept = words({"command": [program, argument, "secret"]})
    assert "secret" not in " ".join(kept)
    assert done_as_root({"args": kept}) == done


def test_an_audit_says_check():
    (row,) = audited(resource("VMSingle", spec=_init("sh", "-c", "echo 1 > /proc/sys/vm/x")))
    (finding,) = [each for each in row.findings if each.id == "root-command"]
    assert (finding.verdict, "writes to /proc/sys/" in finding.text) == ("CHECK", True)
