"""Each query of the dashboard returns data of a real run: vmguard patched, denied, warned, and was not reached."""

import re
import socket
import ssl
import subprocess
from contextlib import suppress

import httpx
import pytest
import yaml

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.build import tool
from tests.controlplane.fixtures import had
from tests.controlplane.guard import guarding
from tests.controlplane.plane import control_plane
from tests.controlplane.stand_in_operator import recreate
from tests.controlplane.versions import PROMTOOL
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, bare_pod, weak_pod
from tests.support.patience import PATIENCE
from tests.support.resource_manifests import custom_resource
from tests.support.sample_pods import LABELS, owned_by
from webhook.manifests.crds import definition
from webhook.manifests.dashboard import ROWS
from webhook.policy.custom_resources import GROUP, CustomResource
from webhook.policy.enforcement import EXEMPT, LABEL

QUERIES = {
    f"{panel.title} {index}": query.expression
    for row in ROWS
    for panel in row.panels
    for index, query in enumerate(panel.queries)
}
SAMPLE = re.compile(r"^(?P<series>\w+(?:\{.*\})?) (?P<value>[0-9.e+-]+)(?: [0-9]+)?$", re.MULTILINE)


@pytest.fixture(scope="module")
def promtool(pytestconfig):
    return had(pytestconfig, lambda: tool(PROMTOOL))


@pytest.fixture(scope="module")
def series(can_have_control_plane):
    """The metrics of vmguard and of the API server after a run, with the labels that Prometheus gives them."""
    with control_plane() as plane:
        plane.install_resources()
        _run_before(plane)
        with guarding(plane, **STRICT_SECURITY, VMGUARD_DRY_RUN="true") as (guard,):
            _answered(plane)
            _not_answered_well(guard)
            surveyed = wait_for(lambda: _if_surveyed(guard), "a survey")
            api_server = wait_for(lambda: _if_not_reached(plane, guard), "a call that fails")
    return {**_labelled(surveyed, "vmguard"), **_labelled(api_server, "apiserver")}


def _run_before(plane):
    """Pods that the survey counts: not compliant, not knowable, of an unknown kind, and in an exempt namespace."""
    recreate(VMSINGLE, plane.api, plane.namespace("before")).pod()
    not_knowable = plane.namespace("not-knowable")
    recreate(VMSINGLE, plane.api, not_knowable).pod()
    (resource,) = plane.api.list(f"{GROUP}/v1beta1", "VMSingle", not_knowable)
    wrong_type = {"spec": {"useStrictSecurity": "maybe"}}
    plane.api.patch(f"{GROUP}/v1beta1", "VMSingle", resource["metadata"]["name"], wrong_type, not_knowable)
    exempt = plane.namespace("exempt", {EXEMPT: "true"})
    recreate(VMSINGLE, plane.api, exempt).pod()
    plane.api.create(definition(CustomResource("VMFoo", "vmfoos", "vmfoo", "v1")))
    wait_for(lambda: plane.api.serves(f"{GROUP}/v1", "VMFoo"), "the kind to be served")
    unknown = plane.namespace("unknown-kind")
    owner = owned_by(
        plane.api.create({"apiVersion": f"{GROUP}/v1", "kind": "VMFoo", "metadata": {"name": "x"}}, unknown)
    )
    meta = {"name": "vmfoo-x-0", "labels": dict(LABELS), "ownerReferences": owner}
    plane.api.create({**bare_pod(), "metadata": meta}, unknown)


def _answered(plane):
    """A pod that is patched, a pod that is denied, and a resource that is admitted with a warning."""
    recreate(VMSINGLE, plane.api, plane.namespace("patched")).pod()
    denying = plane.namespace("denying", {LABEL: "deny"})
    weak = weak_pod(plane, denying)
    wait_for(lambda: _is_refused(plane, weak, denying), "a pod to be denied")
    warned = custom_resource("warned", containers=[{"name": "sidecar", "image": "busybox"}])
    plane.api.create(warned, plane.namespace("warned"))


def _is_refused(plane, pod, namespace):
    try:
        plane.api.create(pod, namespace, dryRun="All")
    except ApiError as error:
        return "denied the request" in str(error)
    return False


def _not_answered_well(guard):
    """A connection that is no TLS, and a dry run that is no JSON."""
    with socket.create_connection(("127.0.0.1", guard.port), PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(OSError):
            connection.recv(1)
    url, context = f"https://127.0.0.1:{guard.port}/dry-run", ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert httpx.post(url, content=b"{", verify=context, trust_env=False, timeout=PATIENCE).is_client_error


def _if_surveyed(guard):
    text = httpx.get(f"{guard.operations}/metrics", trust_env=False, timeout=PATIENCE).text
    return text if 'vmguard_uncovered_pods{namespace="exempt"}' in text else None


def _if_not_reached(plane, guard):
    """The metrics of the API server after calls of a vmguard that has ended, by entries with Fail and with Ignore."""
    guard.process.end()
    namespace = plane.namespace("not-reached")
    with suppress(ApiError):
        plane.api.create(bare_pod(), namespace, dryRun="All")
    plane.api.create(custom_resource("db"), namespace, dryRun="All")
    text = plane.api.request("GET", "/metrics")
    return text if "webhook_fail_open_count{" in text and 'error_type="calling_webhook_error"' in text else None


def _labelled(text, job):
    """Samples with the labels of a target, as promtool reads series: each twice, at the start and a minute later."""
    found = {}
    for sample in SAMPLE.finditer(text):
        name, _, labels = sample["series"].partition("{")
        inner = ", ".join(filter(None, (labels.rstrip("}"), f'job="{job}"', 'instance="127.0.0.1:8080"')))
        found[f"{name}{{{inner}}}"] = f"{float(sample['value']):f}"
    return found


def test_the_run_had_each_outcome(series):
    counted = {name for name in series if name.startswith("vmguard_admission_requests_total")}
    outcomes = {outcome for name in counted for outcome in re.findall(r'outcome="([^"]+)"', name)}
    assert {"patched", "denied", "warned"} <= outcomes


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_returns_data(series, promtool, tmp_path, name):
    assert _has_data(series, promtool, tmp_path, QUERIES[name])


def test_a_query_for_what_there_is_not_returns_no_data(series, promtool, tmp_path):
    """So the test above can fail."""
    assert not _has_data(series, promtool, tmp_path, 'rate(vmguard_previews_total{job=~"$job", outcome="no"}[1m])')


def _has_data(series, promtool, folder, query):
    expression = query.replace("$job", "vmguard").replace("$__rate_interval", "5m")
    named = {name for name in re.findall(r"\w+", expression) if re.match(r"vmguard_|process_|leader_|apiserver_", name)}
    inputs = [
        {"series": each, "values": f"{value} {value}"}
        for each, value in series.items()
        if each.partition("{")[0] in named
    ]
    tests = [
        {
            "interval": "1m",
            "input_series": inputs,
            "promql_expr_test": [
                {
                    "expr": f"count({expression}) > bool 0",
                    "eval_time": "1m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
            ],
        }
    ]
    (folder / "tests.yaml").write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": tests}))
    command = [promtool, "test", "rules", "tests.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=PATIENCE, check=False)
    assert "parse error" not in done.stdout + done.stderr
    return done.returncode == 0
