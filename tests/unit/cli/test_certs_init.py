"""`vmguard certs init`: a Secret that vmguard can use, and no key where a person may not expect it."""

import base64
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from certs import from_data
from certs.pem import certificates_in
from tests.support.patience import PATIENCE
from tests.support.server import environment
from webhook.cli.main import main


def test_the_secret_has_a_ca_of_ten_years_for_one_name(capsys):
    assert main(["certs", "init", "--namespace", "mon", "--service", "guard"]) == 0
    out, err = capsys.readouterr()
    secret = yaml.safe_load(out)
    assert (secret["kind"], secret["type"]) == ("Secret", "Opaque")
    assert secret["metadata"] == {
        "name": "guard-ca",
        "namespace": "mon",
        "annotations": {"vmguard.io/managed-by": "administrator"},
    }
    data = {name: base64.b64decode(value) for name, value in secret["data"].items()}
    state, faults = from_data(data, "guard.mon.svc")
    assert faults == ()
    assert from_data(data, "vmguard.mon.svc")[0].current is None
    assert (state.next, state.old, data["ca.crt"]) == (None, (), state.bundle)
    left = state.current.certificate.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=3649) < left <= timedelta(days=3650)
    assert "PRIVATE" not in err
    assert "mon/guard-ca has its private key" in err


def test_the_file_for_the_configurations_has_the_certificate_only(capsys, tmp_path):
    ca = tmp_path / "ca.crt"
    assert main(["certs", "init", "--days", "30", "--ca-file", str(ca)]) == 0
    secret = yaml.safe_load(capsys.readouterr().out)
    assert ca.read_bytes() == base64.b64decode(secret["data"]["ca.crt"])
    assert len(certificates_in(ca.read_bytes(), "ca.crt")) == 1
    assert b"PRIVATE" not in ca.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--days", "0"), "not a number of days from 1"),
        (("--days", "ten"), "not a number of days from 1"),
        (("--days", "36501"), "not a number of days from 1"),
        (("--namespace", "Mon"), "not a DNS label"),
        (("--ca-file", "/no/such/folder/ca.crt"), "No such file"),
    ],
)
def test_wrong_options_are_one_line_and_no_secret_is_printed(capsys, arguments, what):
    assert main(["certs", "init", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert what in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_terminal_gets_no_key():
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "webhook.cli.main", "certs", "init"]
    try:
        done = subprocess.run(
            command, stdout=end, stderr=subprocess.PIPE, env=environment(), timeout=PATIENCE, check=False, text=True
        )
    finally:
        os.close(end)
    try:
        shown = os.read(terminal, 100)
    except OSError:  # Linux: the other end is closed and nothing was written
        shown = b""
    finally:
        os.close(terminal)
    assert (done.returncode, shown) == (2, b"")
    assert "not printed on a terminal" in done.stderr
