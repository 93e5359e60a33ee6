"""file-owner: a container that changes owners of files must be permitted to."""

import pytest

from tests.support.audited_pods import audited
from tests.support.preview_warnings import warnings_on
from tests.support.sample_pods import resource

MOUNT = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
CHOWN = {"name": "own", "command": ["chown", "-R", "65534:65534", "/data"], **MOUNT}
FIX = "Give it securityContext: {runAsUser: 0, runAsNonRoot: false} [file-owner]"


def _init(context=None, **more):
    return {"initContainers": [{**CHOWN, **more, **({"securityContext": context} if context else {})}]}


def test_an_init_container_that_takes_the_user_of_a_strict_pod_cannot_chown():
    """To harden it would not help, so that is no advice."""
    assert warnings_on("VMSingle", _init(), "sidecar") == []
    assert warnings_on("VMSingle", _init(), "file-owner") == [
        "vmsingle: init container 'own' runs chown as user 65534: if a file has another owner, it fails and the pod may"
        f" not start. {FIX}"
    ]


def test_root_alone_is_not_enough_where_the_pod_must_not_be_root():
    warnings = warnings_on("VMSingle", _init({"runAsUser": 0}))
    assert next(each for each in warnings if each.endswith("[file-owner]")) == (
        "vmsingle: init container 'own' runs chown as root, but runAsNonRoot is true: the kubelet will not start it."
        " Give it runAsNonRoot: false too [file-owner]"
    )
    assert not any("VMGUARD_HARDEN_SIDECARS" in each for each in warnings)
    assert warnings_on("VMSingle", _init({"runAsUser": 0, "runAsNonRoot": False}), "file-owner") == []


@pytest.mark.parametrize(
    ("context", "permitted"),
    [({"drop": ["ALL"]}, False), ({"drop": ["ALL"], "add": ["CHOWN"]}, True), ({"drop": ["NET_RAW"]}, True)],
)
def test_root_needs_the_capability(context, permitted):
    root = {"runAsUser": 0, "runAsNonRoot": False, "capabilities": context}
    warnings = warnings_on("VMSingle", _init(root), "file-owner")
    assert warnings == (
        []
        if permitted
        else [
            "vmsingle: init container 'own' runs chown without the capability CHOWN: if a file has another owner, it"
            " fails and the pod may not start. Give it capabilities: {add: [CHOWN]} [file-owner]"
        ]
    )


@pytest.mark.parametrize(
    ("words", "tool"),
    [
        ({"command": ["/bin/chown", "1", "/data"]}, "chown"),
        ({"command": ["sh", "-c"], "args": ["mkdir -p /data/x && chown -R 1:1 /data"]}, "chown"),
        ({"args": ["chgrp", "5", "/data"]}, "chgrp"),
        ({"command": ["chmod", "-R", "777", "/data/x"]}, "chmod"),
        ({"command": ["sh", "-c", "chmod 0770 '/data'"]}, "chmod"),
        ({"command": ["install", "-o", "65534", "-d", "/data/x"]}, "install"),
        ({"command": ["sh", "-c", "chmod 0600 /data/own-file"]}, ""),
        ({"command": ["chmod", "+x", "/opt/x"]}, ""),
        ({"command": ["install", "-d", "/data/x"]}, ""),
        ({"command": ["echo", "chown"]}, ""),
        ({"command": ["cat", "/etc/chown.conf /x"]}, ""),
        ({"command": ["sh", "-c", "echo we do not chown /data"]}, ""),
        ({"command": ["sh", "-c", "# chown -R 1 /data\nls"]}, ""),
        ({"command": ["sh", "-c", "ls\n  # it's old: chown -R 1 /data\nls"]}, ""),
        ({"command": ["sh", "-c", "ls # then chown -R 1 /data"]}, ""),
        ({"command": ["sh", "-c", "echo start; chown -R 1 /data # done"]}, "chown"),
        ({"command": ["sh", "-c", "(printf x) && chown 1 /data"]}, "chown"),
        ({"command": ["sh", "-c", "sed -i 's/ #//' f; chown 1 '/data'"]}, "chown"),
        ({}, ""),
    ],
    ids=str,
)
def test_the_tool_is_found_in_command_and_arguments(words, tool):
    container = {key: value for key, value in CHOWN.items() if key != "command"} | words
    warnings = warnings_on("VMSingle", {"initContainers": [container]}, "file-owner")
    assert [each.partition(" runs ")[2].partition(" ")[0] for each in warnings] == ([tool] if tool else [])


def test_a_failure_that_the_script_ignores_is_said_so():
    (warning,) = warnings_on("VMSingle", _init(command=["sh", "-c", "chown 1 /data || true"]), "file-owner")
    assert "as user 65534: it changes no file that has another owner. Give it" in warning


@pytest.mark.parametrize(
    "spec",
    [
        {"securityContext": {"runAsUser": 1000}},
        {"securityContext": {"runAsNonRoot": True}},
        {"useStrictSecurity": True},
    ],
    ids=str,
)
def test_it_counts_whatever_sets_the_user(spec):
    assert len(warnings_on("VLSingle", {**spec, **_init()}, "file-owner")) == 1
    assert warnings_on("VLSingle", {"useStrictSecurity": False, **_init()}, "file-owner") == []


def test_a_sidecar_that_cannot_chown_is_a_warning_too():
    (warning,) = warnings_on("VMSingle", {"containers": [CHOWN]}, "file-owner")
    assert ": container 'own' runs chown as user 65534: if a file has another owner, it fails. Give it " in warning


def test_an_audit_says_breaks_only_where_the_container_never_starts():
    """Whether chown fails depends on the files, and the kubelet refuses root in a pod that must not be root always."""
    for context, verdict in ((None, "CHECK"), ({"runAsUser": 0}, "BREAKS")):
        (row,) = audited(resource("VMSingle", spec=_init(context)))
        (finding,) = [each for each in row.findings if each.id == "file-owner"]
        assert (finding.verdict, "may not start" in finding.text) == (verdict, verdict == "CHECK")
