"""A real API server goes on to call vmguard after the certificate that it was first shown has expired."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import trustme

from tests.controlplane.api import wait_for
from tests.controlplane.registration import LABEL, registered
from tests.support.admission_pods import bare_pod
from tests.support.server import serving_cluster

AUTHORITY = trustme.CA()
LIFE = 25
"""Seconds that the short certificate is valid; it is shown after at most ten of them."""

EXPIRY = "vmguard_certificate_expiry_timestamp_seconds"

AT_ONCE = 16
"""Pods that are created together: the API server opens a connection for each request that finds none idle."""


def _write(folder, seconds):
    now = datetime.now(UTC)
    end = now + timedelta(seconds=seconds)
    pair = AUTHORITY.issue_cert("localhost", "127.0.0.1", not_before=now - timedelta(hours=1), not_after=end)
    pair.private_key_pem.write_to_path(folder / "tls.key")
    pair.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    return end.timestamp()


def test_pods_are_admitted_after_the_first_certificate_has_expired(plane, tmp_path):
    folder = tmp_path / "certs"
    folder.mkdir()
    AUTHORITY.cert_pem.write_to_path(folder / "ca.crt")
    _write(folder, 86400)
    with (
        serving_cluster(tmp_path, plane.kubeconfig()) as server,
        registered(plane, server.url, AUTHORITY.cert_pem.bytes(), "renewed"),
    ):
        namespace = plane.namespace("renewed", {LABEL: "renewed"})
        end = 0.0

        def is_short() -> bool:
            nonlocal end
            if time.time() > end:  # again on a machine that was too busy
                end = _write(folder, LIFE)
            return server.metric(EXPIRY) == int(end)

        wait_for(is_short, "the short certificate to be shown")
        plane.api.create(bare_pod(name="before"), namespace)
        _write(folder, 86400)
        wait_for(lambda: server.metric(EXPIRY) > end + LIFE, "the next certificate to be shown")
        time.sleep(max(0, end - time.time()) + 1)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = list(
                pool.map(lambda number: plane.api.create(bare_pod(name=f"p{number}"), namespace), range(AT_ONCE))
            )
        assert len(made) == AT_ONCE
        decided = {line["name"] for line in server.lines() if line["message"] == "admission"}
        assert decided >= {f"p{number}" for number in range(AT_ONCE)}
