"""A server process shows a renewed certificate to new connections, seen by OpenSSL and by connections that stay."""

import re
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta

import trustme

from tests.support.patience import PATIENCE
from tests.support.sample_pods import vmsingle
from tests.support.server import serving

AUTHORITY = trustme.CA()


def write(folder, days):
    """A pair by another tool, valid for some days; its serial number."""
    now = datetime.now(UTC)
    pair = AUTHORITY.issue_cert(
        "localhost", "127.0.0.1", not_before=now - timedelta(hours=1), not_after=now + timedelta(days=days)
    )
    pair.cert_chain_pems[0].write_to_path(folder / "tls.crt.new")
    pair.private_key_pem.write_to_path(folder / "tls.key.new")
    for name in ("tls.key", "tls.crt"):
        (folder / f"{name}.new").rename(folder / name)
    return _serial((folder / "tls.crt").read_text())


def _serial(pem):
    command = ["openssl", "x509", "-noout", "-serial"]
    return subprocess.run(command, input=pem, capture_output=True, text=True, check=True).stdout.strip()


def shown(server):
    """The serial number of the certificate that OpenSSL is shown, which it must be able to verify."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost"]
    command += ["-CAfile", server.ca, "-verify_return_error"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=True, timeout=PATIENCE)
    return _serial(re.search(r"-----BEGIN.*?END CERTIFICATE-----", done.stdout, re.DOTALL)[0])


def test_a_renewed_certificate_is_shown_and_open_connections_stay(tmp_path):
    folder = tmp_path / "certs"
    folder.mkdir()
    AUTHORITY.cert_pem.write_to_path(folder / "ca.crt")
    first = write(folder, 30)
    with serving(tmp_path, vmsingle()[1]) as server:
        assert shown(server) == first
        stays = server.connect()
        stays.request("GET", "/healthz")
        assert stays.getresponse().read()
        end = server.metric("vmguard_certificate_expiry_timestamp_seconds")
        second = write(folder, 60)
        until = time.monotonic() + PATIENCE
        while shown(server) == first and time.monotonic() < until:
            time.sleep(0.5)
        assert shown(server) == second
        assert server.metric("vmguard_certificate_expiry_timestamp_seconds") > end + 29 * 86400
        stays.request("GET", "/healthz")
        assert stays.getresponse().status == 200
        assert isinstance(stays.sock, ssl.SSLSocket)
        stays.close()
        (folder / "tls.crt").write_text("half a")
        while "[!]certificate" not in server.operation("/readyz?verbose")[1] and time.monotonic() < until:
            time.sleep(0.5)
        status, text = server.operation("/readyz?verbose")
        assert status == 200
        assert f"[!]certificate {folder / 'tls.crt'}" in text
        assert shown(server) == second
