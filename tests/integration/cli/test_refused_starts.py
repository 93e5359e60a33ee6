"""A start that is refused: one line that names what to correct, and status 2."""

import socket

import pytest

from tests.support.command import vmguard
from tests.support.sample_pods import pod


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve", "--kubeconfig", "nofile", "--cert-dir", "nodir"), "Missing: nodir/tls.crt, nodir/tls.key"),
        (("serve", "--kubeconfig", "nofile"), "nofile: no such file: no cluster to serve"),
        (("serve", "--standalone", "--kubeconfig", "x"), "--standalone knows no cluster"),
        (("serve", "--objects", "x"), "--objects and --kubernetes-version go with --standalone"),
    ],
)
def test_a_wrong_command_line_stops_the_start_with_one_line(arguments, message):
    status, _, err = vmguard(*arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert message in err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"VMGUARD_MODE": "x"}, "VMGUARD_MODE='x' is not allowed: write enforce or audit"),
        ({"VMGUARD_CLIENT_NAMES": "api"}, "VMGUARD_CLIENT_NAMES needs VMGUARD_CLIENT_CA_FILE"),
        ({"VM_ENABLESTRICTSECURITY": "maybe"}, "write true, false, 1, 0, yes or no"),
        ({"EnableStrictSecurity": "maybe"}, "EnableStrictSecurity='maybe' is not allowed"),
        (
            {"VM_ENABLESTRICTSECURITY": "true", "ENABLESTRICTSECURITY": "false"},
            "are two names of one setting and disagree",
        ),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(extra, message):
    for command in (("review", "-"), ("serve", "--standalone")):
        status, _, err = vmguard(*command, stdin=pod(), **extra)
        assert (status, err.count("\n")) == (2, 1)
        assert message in err


def test_an_address_in_use_stops_the_start_with_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, _, err = vmguard("serve", "--standalone", "--cert-dir", tmp_path, VMGUARD_LISTEN=address)
        config = tmp_path / "kubeconfig"
        config.write_text("{}")
        of_cluster = vmguard("serve", "--kubeconfig", config, "--cert-dir", tmp_path, VMGUARD_LISTEN=address)
    assert status == 2
    assert f"VMGUARD_LISTEN={address}" in err
    assert of_cluster == (2, "", err)


def test_a_client_ca_that_cannot_be_read_stops_the_start(tmp_path):
    """Otherwise a wrong path would have no client served, or every one."""
    started = vmguard("serve", "--standalone", "--cert-dir", tmp_path, VMGUARD_CLIENT_CA_FILE="gone")
    assert started[0] == 2
    assert "VMGUARD_CLIENT_CA_FILE=gone: No such file or directory" in started[2]
    assert started[2].count("\n") == 1
