"""A real server process keeps the HTTP contract over TLS."""

import base64
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.admission_reviews import pod_review
from tests.support.dry_run_questions import BILLION_LAUGHS
from tests.support.golden import CASES, expected, projection
from tests.support.patience import PATIENCE
from tests.support.programs import program, started
from tests.support.sample_pods import pod, resource, vmsingle
from tests.support.server import ROOT, environment, serving

KEYS = {"allowed", "message", "workload", "posture", "changes", "warnings", "patch", "pod", "diff", "podSecurity"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    _, objects = vmsingle()
    with serving(tmp_path_factory.mktemp("server"), objects) as running:
        yield running


def test_a_review_is_answered_with_a_patch(server):
    status, headers, body = server.ask("POST", "/mutate?timeout=10s", pod_review(vmsingle()[0]))
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body["apiVersion"] == "admission.k8s.io/v1"
    assert body["response"]["uid"] == "u-1"
    assert body["response"]["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(body["response"]["patch"]))[0]["path"] == "/spec/securityContext"


def test_v1beta1_is_answered_as_v1beta1(server):
    review = {**pod_review(vmsingle()[0]), "apiVersion": "admission.k8s.io/v1beta1"}
    assert server.ask("POST", "/mutate", review)[2]["apiVersion"] == "admission.k8s.io/v1beta1"


def test_validate_never_patches(server):
    response = server.ask("POST", "/validate", pod_review(vmsingle()[0]))[2]["response"]
    assert "patch" not in response
    assert response["warnings"][0].startswith("not compliant: ")


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status", "reason"),
    [
        ("GET", "/mutate", None, "", 405, "takes POST"),
        ("POST", "/mutate", b"{}", "text/plain", 415, "Content-Type must be application/json"),
        ("POST", "/mutate", b"{}", "", 415, "Content-Type must be application/json"),
        ("POST", "/mutate", b"{", "application/json", 400, "not valid JSON"),
        ("POST", "/mutate", b"", "application/json", 400, "not valid JSON"),
        ("POST", "/mutate", b"null", "application/json", 400, "AdmissionReview"),
        ("POST", "/mutate", b'{"kind":"Pod"}', "application/json", 400, "AdmissionReview"),
        ("POST", "/mutate", b"[" * 100_000, "application/json", 400, ""),
        ("POST", "/mutate", b'{"a":NaN}', "application/json", 400, ""),
        ("POST", "/mutate", b'{"a":"\xff"}', "application/json", 400, ""),
        ("POST", "/mutate", b" " * (7 * 1024 * 1024 + 1), "application/json", 413, "larger than"),
        ("POST", "/nowhere", b"{}", "application/json", 404, "Not Found"),
    ],
)
def test_a_wrong_request_gets_its_status_and_a_reason(server, method, path, body, content_type, status, reason):
    code, headers, answer = server.ask(method, path, body, content_type)
    assert code == status
    assert headers["content-type"] == "application/json"
    assert (answer["code"], answer["status"]) == (status, "Failure")
    assert reason in answer["message"]
    assert "Traceback" not in str(answer)
    assert headers["retry-after"] is None


@pytest.mark.parametrize(
    "spec",
    [
        5,
        {"containers": 5},
        {"containers": [None]},
        {"containers": [{"name": 5}]},
        {"securityContext": "x"},
        {"volumes": {}},
        {"containers": [{"name": "a", "volumeMounts": [5]}]},
    ],
)
def test_a_pod_of_the_wrong_shape_is_a_400_that_names_the_place(server, spec):
    thing = vmsingle()[0]
    thing["spec"] = spec
    status, _, answer = server.ask("POST", "/mutate", pod_review(thing))
    assert status == 400
    assert ": spec" in answer["message"]


def test_a_chunked_body_is_bounded_too(server):
    connection = server.connect()
    try:
        chunks = (b" " * 65536 for _ in range(130))
        connection.request("POST", "/mutate", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pytest.fail("the answer must be readable")
    finally:
        connection.close()


def test_connections_are_kept_alive(server):
    connection = server.connect()
    try:
        for _ in range(3):
            connection.request("POST", "/mutate", json.dumps(pod_review(pod())), {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert response.version == 11
            assert response.headers["connection"] is None
            response.read()
    finally:
        connection.close()


def test_plain_http_on_the_tls_port_ends_quietly(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in plain.recv(100)
    assert server.ask("GET", "/healthz")[0] == 200


def test_the_operations_listener_serves_health_readiness_and_metrics(server):
    server.ask("POST", "/mutate", pod_review(vmsingle()[0]))
    assert server.operation("/healthz") == (200, "ok")
    assert server.operation("/readyz") == (200, "ok")
    assert server.operation("/readyz?verbose")[1].endswith("readyz check passed\n")
    assert server.operation("/nowhere")[0] == 404
    asked = httpx.post(f"{server.operations}/metrics", trust_env=False)
    assert (asked.status_code, asked.headers["allow"]) == (405, "GET, HEAD")
    text = server.operation("/metrics")[1]
    assert 'vmguard_admission_requests_total{outcome="patched",webhook="mutate"}' in text
    assert 'vmguard_findings_total{kind="change",rule="security-context"}' in text
    assert 'vmguard_lookups_total{result="found",source="file"}' in text
    assert 'vmguard_admission_duration_seconds_bucket{le="0.001",webhook="mutate"}' in text
    assert "vmguard_config_info{" in text
    assert 'mode="enforce"' in text
    assert re.search(r'vmguard_build_info\{arch="\w+",os="linux",python_version="3\.[0-9.]+\w*",version="', text)
    expiry = next(line for line in text.splitlines() if line.startswith("vmguard_certificate_expiry"))
    assert float(expiry.split()[1]) > time.time() + 86400


def test_one_log_line_a_decision_and_never_a_body(server):
    thing = vmsingle()[0]
    thing["metadata"]["annotations"] = {"secret": "token-of-somebody"}
    server.ask("POST", "/mutate", pod_review(thing, uid="logged", name="db-0"))
    (line,) = [line for line in server.lines() if line.get("uid") == "logged"]
    assert line["workload"] == "VMSingle mon/db"
    assert line["rules"] == "security-context=13"
    assert line["milliseconds"] > 0
    assert line["outcome"] == "patched"
    assert "token-of-somebody" not in server.log.read_text()


def test_the_description_and_its_page_need_no_other_host(server):
    assert "/dry-run" in server.ask("GET", "/openapi.json")[2]["paths"]
    status, headers, page = server.ask("GET", "/docs")
    assert (status, headers["Content-Security-Policy"].split(";")[0]) == (200, "default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "<script" not in page
    links = {part.split('"')[0] for part in page.split('href="')[1:]}
    assert {link for link in links if not link.startswith("#")} == {"/openapi.json"}


def _as_yaml(value):
    return yaml.safe_dump(value).encode()


@pytest.mark.parametrize("encode", [_as_yaml, lambda value: json.dumps(value).encode()])
def test_a_dry_run_shows_what_changes_and_why(server, encode):
    thing, objects = vmsingle({"useStrictSecurity": True})
    body = encode({"pod": thing, "objects": objects, "kubernetesVersion": "1.30"})
    status, _, answer = server.dry_run(body, "text/whatever")
    assert status == 200
    assert answer.keys() == KEYS
    assert answer["workload"] == {
        "kind": "VMSingle",
        "namespace": "mon",
        "name": "db",
        "component": "vmsingle",
        "parent": None,
        "source": "chain",
    }
    assert answer["posture"] == [
        {
            "component": "vmsingle",
            "securityContext": "strict",
            "apiAccess": "automount",
            "podSecurityPolicy": None,
            "because": ["VMSingle mon/db spec.useStrictSecurity=true", "VMGUARD_DISABLE_AUTOMOUNT=false"],
        }
    ]
    assert answer["changes"][0] == {
        "rule": "security-context",
        "op": "add",
        "path": "/spec/securityContext/runAsNonRoot",
        "value": True,
        "why": "strict security",
        "source": "VMSingle mon/db spec.useStrictSecurity",
    }
    assert answer["pod"]["spec"]["securityContext"]["runAsUser"] == 65534
    assert answer["podSecurity"] == {"before": "baseline", "after": "restricted", "reasons": []}
    assert answer["diff"].startswith("--- as asked\n+++ as admitted\n")


@pytest.mark.parametrize(
    "question",
    [
        pod(),
        pod_review(pod()),
        {"apiVersion": "v1", "kind": "List", "items": [pod(), resource("VMSingle")]},
        resource("VMSingle"),
        {"apiVersion": "v1", "kind": "List", "items": [resource("VMCluster", spec={"vmselect": {}})]},
    ],
)
def test_a_dry_run_answers_every_form_with_all_keys(server, question):
    status, _, answer = server.dry_run(question)
    assert status == 200
    assert answer.keys() == KEYS
    assert (answer["pod"] is None) is (question["kind"].startswith("VM") or "VMCluster" in str(question))


def test_a_dry_run_of_a_resource_says_the_lowest_level_of_its_pods_with_the_reasons_of_each(server):
    spec = {"vmselect": {}, "vminsert": {"hostNetwork": True}}
    answer = server.dry_run(resource("VMCluster", spec=spec))[2]
    found = answer["podSecurity"]
    assert (found["before"], found["after"]) == ("privileged", "privileged")
    assert found["reasons"] == ["vminsert: host namespaces (hostNetwork=true)"]
    plain = server.dry_run(resource("VMCluster", spec={"vmselect": {}}))[2]
    assert plain["podSecurity"] == {"before": "baseline", "after": "restricted", "reasons": []}
    assert plain["warnings"] == []


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 422, "not 0"),
        (b"{", 400, "not valid JSON"),
        (b"a: [", 400, "not valid YAML"),
        (b"\xff\xfe", 400, "UTF-16 text"),
        (BILLION_LAUGHS, 400, "more than 100000 values"),
        (b"!!python/object/apply:os.system [x]", 400, "is not allowed"),
        (b"[" * 100_000, 400, ""),
        (b"a: " * 100_000, 400, ""),
        (b"x: &x [*x]", 400, "alias"),
        (b"kind: Pod", 422, "no apiVersion"),
        (b"5", 422, "no kind"),
        (b'{"pod": {}, "more": 1}', 422, "more"),
        (b'{"pod": {"kind": "Pod", "apiVersion": "v1"}, "kubernetesVersion": "x"}', 422, "no Kubernetes version"),
        (
            b'{"kind":"Pod","apiVersion":"v1","spec":{"containers":5}}',
            422,
            "spec.containers is an integer but must be an array",
        ),
        (b'{"kind":"Pod","apiVersion":"v1","metadata":5}', 422, "metadata"),
        (b" " * (512 * 1024 + 1), 413, "larger than"),
    ],
)
def test_an_invalid_dry_run_request_gets_an_error_with_the_reason(server, body, status, reason):
    code, _, answer = server.dry_run(body)
    assert (code, answer["code"]) == (status, status)
    assert reason in answer["message"]
    assert server.dry_run(pod())[0] == 200, "the next question is answered"


def _batches():
    """The golden cases in as few groups as have one setting and no two objects of one name."""
    batches = []
    for case in CASES:
        names = {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in case.objects}
        settings = case.settings["VM_ENABLESTRICTSECURITY"]
        for batch in batches:
            if batch[0] == settings and not batch[1] & names:
                break
        else:
            batch = (settings, set(), [])
            batches.append(batch)
        batch[1].update(names)
        batch[2].append(case)
    return batches


@pytest.mark.parametrize(("settings", "cases"), [(batch[0], batch[2]) for batch in _batches()])
def test_every_recorded_case_is_decided_right_over_http(settings, cases, tmp_path):
    import jsonpatch  # noqa: PLC0415

    objects = [thing for case in cases for thing in case.objects]
    with serving(tmp_path, objects, VM_ENABLESTRICTSECURITY=settings, VMGUARD_DRY_RUN="false") as running:
        for case in cases:
            status, _, body = running.ask("POST", "/mutate?timeout=10s", case.review)
            assert status == 200
            operations = json.loads(base64.b64decode(body["response"].get("patch", "W10=")))
            admitted = jsonpatch.apply_patch(json.loads(case.review)["request"]["object"], operations)
            assert projection(admitted) == expected(case), case.path.name


def test_it_ends_in_order_and_leaves_nothing(tmp_path):
    with serving(tmp_path, []) as running:
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
        assert len(children) == 1, "the dry-run worker"
        key = tmp_path / "certs" / "tls.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert running.end() == 0
        assert running.process.stdout.read() == "", "one line on stdout and no more"
        assert running.lines()[-1]["message"] == "ended"
        with pytest.raises(ProcessLookupError):
            os.kill(int(children[0]), 0)


def test_dry_run_can_be_switched_off(tmp_path):
    with serving(tmp_path, [], VMGUARD_DRY_RUN="false") as running:
        for path in ("/dry-run", "/docs", "/openapi.json"):
            assert running.ask("POST" if path == "/dry-run" else "GET", path, b"{}")[0] == 404
        assert running.ask("GET", "/healthz")[0] == 200


def test_a_question_that_takes_too_long_is_a_429_and_the_next_is_answered(tmp_path):
    with serving(tmp_path, []) as running:
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        (worker,) = map(int, children.read_text().split())
        os.kill(worker, signal.SIGSTOP)
        status, headers, answer = running.ask("POST", "/dry-run", pod())
        assert (status, answer["code"], headers["retry-after"]) == (429, 429, None)
        assert "no answer within 2 s" in answer["message"]
        assert running.ask("POST", "/mutate", pod_review(pod()))[0] == 200, "admissions never wait for a person"
        assert running.dry_run(pod())[0] == 200, "a new worker answers"
        assert children.read_text().split() != [str(worker)]


def test_the_tour_shows_an_admission_and_its_curl_line_works(tmp_path):
    """`make run` after its installation: the line that it prints is run as printed."""
    program("curl")
    command = [sys.executable, "examples/tour.py"]
    ports = {"VMGUARD_LISTEN": "127.0.0.1:0", "VMGUARD_OPS_LISTEN": "127.0.0.1:0"}
    env = environment(XDG_CACHE_HOME=str(tmp_path), PYTHONUNBUFFERED="1", **ports)
    with started(command, stdout=subprocess.PIPE, env=env) as tour:
        try:
            shown = []
            for line in tour.stdout:
                shown.append(line)
                if line.startswith("Ctrl-C"):
                    break
            text = "".join(shown)
            assert "+      readOnlyRootFilesystem: true" in text
            assert "VM_ENABLESTRICTSECURITY=true" in text
            (line,) = (line for line in shown if line.strip().startswith("curl "))
            done = subprocess.run(shlex.split(line), capture_output=True, cwd=ROOT, check=True, timeout=PATIENCE)
            assert json.loads(done.stdout).keys() == KEYS
        finally:
            tour.terminate()
            tour.wait(PATIENCE)
