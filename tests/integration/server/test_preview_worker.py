"""Previews are made outside the server's event loop, and whatever happens to their worker, reviews are answered."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.controlplane.api import wait_for
from tests.support.costly_resources import costly_distributed
from tests.support.sample_pods import resource, vmsingle
from tests.support.server import serving
from webhook.admission.admission_review import review_of

SIDECAR = {"containers": [{"name": "sidecar", "image": "x"}]}
"""A resource with it gets a warning, which only a preview finds."""


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path, vmsingle()[1]) as server:
        yield server


def _validate(server, thing, namespace="mon"):
    """The response to the review of a resource, and its warnings as one text."""
    body = review_of(thing, uid="u", namespace=namespace, name=thing["metadata"]["name"])
    status, _, answer = server.ask("POST", "/validate", body)
    assert status == 200, answer
    return answer["response"], "\n".join(answer["response"].get("warnings", []))


def _previewed(server):
    """Whether a resource is admitted with the warning of its preview."""
    response, warnings = _validate(server, resource("VMSingle", spec=SIDECAR))
    assert response["allowed"]
    return "[sidecar]" in warnings


def _worker(server):
    """The process id of the preview worker."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:  # it has ended meanwhile
                continue
            if int(parent) == server.process.pid and b"preview" in command:
                return int(process.name)
    return 0


def _notes(server):
    status, text = server.operation("/readyz?verbose")
    assert status == 200
    return [line for line in text.splitlines() if line.startswith("[!]previews")]


def _outcome(server, outcome):
    lines = server.operation("/metrics")[1].splitlines()
    return sum(float(line.split()[1]) for line in lines if f'vmguard_previews_total{{outcome="{outcome}"}}' in line)


def test_the_worker_starts_with_the_first_preview_and_has_a_lower_priority(server):
    assert not _worker(server)
    assert wait_for(lambda: _previewed(server), "a preview")
    worker = _worker(server)
    assert os.getpriority(os.PRIO_PROCESS, worker) > os.getpriority(os.PRIO_PROCESS, server.process.pid)
    assert _notes(server) == []
    assert server.end() == 0
    wait_for(lambda: not Path(f"/proc/{worker}").exists(), "the end of the worker")


def test_a_worker_that_is_killed_during_a_preview_costs_that_preview_only(server):
    """The resource is admitted with a warning, readiness has a note, and the next resource is previewed."""
    wait_for(lambda: _previewed(server), "a preview")
    worker = _worker(server)
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_validate, server, resource("VMSingle", spec=SIDECAR))
        wait_for(lambda: server.metric("vmguard_request_body_bytes") > 0, "the request")
        os.kill(worker, signal.SIGKILL)
        response, warnings = waiting.result()
    assert response["allowed"]
    assert "pods not previewed: failed" in warnings
    assert "ended before it answered" in _notes(server)[0]
    wait_for(lambda: _previewed(server), "the next preview")
    assert _worker(server) not in {0, worker}
    assert _notes(server) == []
    assert _outcome(server, "failed") == 1


def test_a_worker_that_stops_is_ended_and_the_next_resource_is_previewed(server):
    wait_for(lambda: _previewed(server), "a preview")
    worker = _worker(server)
    os.kill(worker, signal.SIGSTOP)
    response, warnings = _validate(server, resource("VMSingle", spec=SIDECAR))
    assert response["allowed"]
    assert "pods not previewed: too busy" in warnings
    assert "did not answer" in _notes(server)[0]
    wait_for(lambda: _previewed(server), "the next preview")
    assert _worker(server) not in {0, worker}


def test_a_flood_of_costly_resources_costs_only_the_attackers_previews(server):
    """24 connections of one namespace; pods and resources of others are all answered, and so is readiness."""
    pod, _ = vmsingle({"useStrictSecurity": True})
    over = threading.Event()

    def attack(number):
        warnings = []
        while not over.is_set():
            response, text = _validate(server, costly_distributed(f"attack-{number}", "attacker"), "attacker")
            assert response["allowed"]
            warnings.append(text)
        return warnings

    with ThreadPoolExecutor(24) as pool:
        attackers = [pool.submit(attack, number) for number in range(24)]
        try:
            wait_for(lambda: _outcome(server, "too-busy") > 24, "the attack")
            for _ in range(10):
                body = review_of(pod, uid="u", namespace="mon", name="db-0")
                status, _, answer = server.ask("POST", "/mutate", body)
                assert (status, answer["response"]["allowed"]) == (200, True)
                assert server.operation("/readyz")[0] == 200
                assert _validate(server, resource("VMSingle", spec=SIDECAR))[0]["allowed"]
        finally:
            over.set()
        warnings = [text for each in attackers for text in each.result()]
    skipped = [text for text in warnings if "pods not previewed: too busy (VMDistributed attacker/attack-" in text]
    assert len(skipped) > 24
    assert _outcome(server, "failed") == 0
