"""A server that shuts down reports not ready at once, and still serves during the delay."""

import signal

from tests.controlplane.api import wait_for
from tests.support.admission_reviews import pod_review
from tests.support.patience import PATIENCE
from tests.support.sample_pods import pod
from tests.support.server import serving

DELAY = 15
"""Seconds that the server goes on serving: long enough to ask it three things on a loaded machine."""


def test_after_the_signal_it_is_not_ready_and_serves_on_with_connections_that_close(tmp_path):
    with serving(tmp_path, [], VMGUARD_SHUTDOWN_DELAY=str(DELAY)) as server:
        status, headers, _ = server.ask("POST", "/mutate", pod_review(pod()))
        assert (status, headers["connection"]) == (200, None)
        server.process.send_signal(signal.SIGTERM)
        code, text = wait_for(lambda: (said := server.operation("/readyz"))[0] == 503 and said, "it to be not ready")
        assert (code, "[-]shutdown shutting down" in text) == (503, True)
        status, headers, _ = server.ask("POST", "/mutate", pod_review(pod()))
        assert (status, headers["connection"]) == (200, "close")
        assert server.process.poll() is None
        assert server.process.wait(PATIENCE) == 0
        assert [line["seconds"] for line in server.lines() if line["message"] == "ending"] == [DELAY]
