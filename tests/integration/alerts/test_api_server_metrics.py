"""The API server really has the metrics that alerts read of it, by these names and with these labels."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.registration import LABEL, registered
from tests.support.admission_pods import bare_pod
from tests.support.resource_manifests import custom_resource
from tests.support.server import free_port
from tests.support.tls_server import over_trusted_tls
from webhook.manifests.alerts import ALERTS
from webhook.server.http import error_body

METRIC = re.compile(r"apiserver_admission_webhook_\w+")
SELECTED = re.compile(r'(\w+)(?:=~|!=)"')
OF_API_SERVER = [alert for alert in ALERTS if METRIC.search(alert.expression)]


@pytest.fixture(scope="module", params=["1.24", "1.37"])
def called_in_vain(request):
    """The metrics of an API server that calls a vmguard that is down, by an entry with Fail and one with Ignore."""
    plane = request.getfixturevalue("plane_124" if request.param == "1.24" else "plane")
    namespace = plane.namespace("called-in-vain", {LABEL: "called-in-vain"})
    url = f"https://localhost:{free_port()}"

    def calls():
        plane.api.create(custom_resource("db"), namespace, dryRun="All")
        with pytest.raises(ApiError, match="failed calling webhook"):
            plane.api.create(bare_pod(), namespace, dryRun="All")
        text = plane.api.request("GET", "/metrics")
        return text if "webhook_fail_open_count{" in text else None

    with registered(plane, url, b"", "called-in-vain", wait=False):
        wait_for(lambda: _call_fails(plane, namespace), "the entry for pods to be called")
        return wait_for(calls, "the entry for resources to be called")


def _call_fails(plane, namespace):
    """Whether the API server refuses a pod because a call of a webhook failed."""
    try:
        plane.api.create(bare_pod(), namespace, dryRun="All")
    except ApiError as error:
        return "failed calling webhook" in str(error)
    return False


@pytest.mark.parametrize("alert", OF_API_SERVER, ids=lambda alert: alert.name)
def test_the_api_server_has_the_metric_with_the_labels_that_the_alert_selects_and_sums_by(called_in_vain, alert):
    metric = METRIC.search(alert.expression)[0]
    (grouped,) = set(re.findall(r"sum by \(([^)]+)\)", alert.expression))
    labels = {*SELECTED.findall(alert.expression), *grouped.split(", ")}
    samples = [line for line in called_in_vain.splitlines() if line.startswith(f"{metric}{{")]
    ours = [line for line in samples if re.search(r'[{,]name="[^"]+[.]vmguard[.]io"', line)]
    assert ours
    for line in ours:
        assert labels <= set(re.findall(r'(\w+)="', line))


def test_a_call_that_fails_counts_with_the_type_of_error_that_the_alert_selects(called_in_vain):
    (alert,) = (each for each in ALERTS if each.name == "VmguardCallsFail")
    (wanted,) = set(re.findall(r'error_type=~"([^"]+)"', alert.expression))
    samples = [line for line in called_in_vain.splitlines() if 'name="pods.vmguard.io"' in line]
    types = {found for line in samples for found in re.findall(r'error_type="([^"]+)"', line)}
    assert any(re.fullmatch(wanted, each) for each in types)


@contextmanager
def _answering(folder, *, silent):
    """`(base url, CA)` of a webhook that answers with HTTP 500 as vmguard does where it refuses, or never answers."""
    over = threading.Event()

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if silent:
                over.wait()
                return
            body = error_body(500, "the owner is not known")
            self.send_response(500)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.daemon_threads = True
    with over_trusted_tls(server, folder) as reached:
        try:
            yield reached
        finally:
            over.set()


def _rejections(plane):
    """How often calls of `pods.vmguard.io` failed, by the code that the API server counts."""
    counts = {}
    for line in plane.api.request("GET", "/metrics").splitlines():
        wanted = ("apiserver_admission_webhook_rejection_count{", 'name="pods.vmguard.io"', "calling_webhook_error")
        if all(part in line for part in wanted):
            (code,) = re.findall(r'rejection_code="(\d+)"', line)
            counts[code] = counts.get(code, 0) + float(line.rpartition(" ")[2])
    return counts


@pytest.mark.parametrize("silent", [False, True], ids=["refusal", "timeout"])
@pytest.mark.parametrize(("fixture", "unanswered"), [("plane_124", "400"), ("plane", "503")])
def test_a_refusal_counts_as_500_and_a_timeout_as_another_code(request, tmp_path, fixture, unanswered, silent):
    """So VmguardCallsFail distinguishes vmguard's own refusal from a vmguard that does not answer."""
    plane = request.getfixturevalue(fixture)
    label = "never-answers" if silent else "refuses"
    namespace = plane.namespace(label, {LABEL: label})

    before = _rejections(plane)
    with _answering(tmp_path, silent=silent) as (url, ca), registered(plane, url, ca, label, seconds=1, wait=False):
        wait_for(lambda: _call_fails(plane, namespace), "the entry for pods to be called")
    after = _rejections(plane)
    assert {each for each in after if after[each] != before.get(each, 0)} == {unanswered if silent else "500"}


def test_three_alerts_read_metrics_of_the_api_server():
    """So that the tests above have something to check."""
    assert [alert.name for alert in OF_API_SERVER] == ["VmguardCallsFail", "VmguardFailsOpen", "VmguardSlow"]
