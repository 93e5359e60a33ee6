"""A start that is refused: one line that names what to correct, and status 2."""

import socket

import pytest

from tests.support.command import vmguard
from tests.support.sample_pods import pod


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve", "--kubeconfig", "nofile", "--cert-dir", "nodir"), "Missing: nodir/tls.crt, nodir/tls.key"),
        (("serve",), "VMGUARD_CERT_DIR is not set: name the directory with tls.crt and tls.key"),
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
