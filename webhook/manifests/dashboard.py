"""The Grafana dashboard of vmguard: one table of rows and panels, from which the JSON of Grafana is made.

`$job` is the job of vmguard's Service. The API server's own metrics, which have another job, are selected by the names
of vmguard's webhook entries. Times are seconds, sizes are bytes. To add a panel, add a row to `ROWS`. A test runs each
query against the metrics of a real run.
"""

import json
from typing import Any, Literal

import msgspec

from webhook.manifests.alerts import OURS, RUNBOOK
from webhook.manifests.installation import labels
from webhook.manifests.roles import InstallationNames

TITLE = "vmguard"
FILE = "vmguard.json"
"""The key of the ConfigMap, and the name of the file that Grafana's sidecar writes."""

_UID = "vmguard"
_SCHEMA = 39
"""Version of Grafana's dashboard model: that of Grafana 10.1. A newer Grafana migrates it."""

_COLUMNS = 24
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_JOB = 'job=~"$job"'
_RATE = "[$__rate_interval]"


class Query(msgspec.Struct, frozen=True):
    """One query in PromQL, and the legend of its series."""

    expression: str
    legend: str = ""


class Panel(msgspec.Struct, frozen=True):
    """One panel. A `stat` shows one value, red where it is below `at_least` or above `at_most`."""

    title: str
    about: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8
    at_least: float | None = None
    at_most: float | None = None


class PanelRow(msgspec.Struct, frozen=True):
    """Panels side by side under a title, wrapped where they are wider than the dashboard."""

    title: str
    panels: tuple[Panel, ...]


def _stat(
    title: str,
    about: str,
    expression: str,
    unit: str = "short",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Panel:
    return Panel(title, about, (Query(expression),), unit, "stat", 4, at_least, at_most)


def _rate(metric: str, by: str, selected: str = _JOB) -> str:
    return f"sum by ({by}) (rate({metric}{{{selected}}}{_RATE}))"


def _quantile(part: float, metric: str, by: str, selected: str = _JOB) -> str:
    return f"histogram_quantile({part}, sum by (le, {by}) (rate({metric}_bucket{{{selected}}}{_RATE})))"


_CALLS = "apiserver_admission_webhook_admission_duration_seconds"

ROWS = (
    PanelRow(
        "Now",
        (
            _stat("Replicas", "Replicas that are scraped.", f"count(vmguard_build_info{{{_JOB}}})", at_least=1),
            _stat(
                "Leaders",
                "Exactly one replica leads. It surveys the running pods and renews the CA.",
                f"sum(leader_election_master_status{{{_JOB}}})",
                at_least=1,
                at_most=1,
            ),
            _stat(
                "Certificate ends in",
                "The end of the certificate that ends first. Each replica renews its own.",
                f"min(vmguard_certificate_expiry_timestamp_seconds{{{_JOB}}}) - time()",
                "s",
                at_least=6 * 3600,
            ),
            _stat(
                "CA bundles verify",
                "1: each webhook configuration verifies the certificate of each replica. 0: the API server cannot call"
                " vmguard.",
                f"min(vmguard_webhook_ca_bundle_ok{{{_JOB}}})",
                at_least=1,
            ),
            _stat(
                "Pods not compliant",
                "Running pods that are not as they must be. A pod changes only when it is created again.",
                f"sum(max by (namespace, kind) (vmguard_noncompliant_pods{{{_JOB}}}))",
            ),
            _stat(
                "Last survey",
                "Time since the leader last looked at the running pods.",
                f"time() - max(vmguard_survey_timestamp_seconds{{{_JOB}}})",
                "s",
                at_most=900,
            ),
        ),
    ),
    PanelRow(
        "Answers",
        (
            Panel(
                "Reviews by outcome",
                "What vmguard answered. would-patch and would-deny are audit mode.",
                (Query(_rate("vmguard_admission_requests_total", "outcome"), "{{outcome}}"),),
                "reqps",
            ),
            Panel(
                "Denied or not knowable",
                "Somebody must act: the log line and an Event on the resource have the reason.",
                (
                    Query(
                        _rate(
                            "vmguard_admission_requests_total",
                            "webhook, outcome",
                            f'{_JOB}, outcome=~"denied|would-deny|refused|unknown|unknown-kind|error"',
                        ),
                        "{{webhook}} {{outcome}}",
                    ),
                ),
                "reqps",
            ),
            Panel(
                "Findings by rule",
                "change: a value was filled. violation: a value is not allowed. warn: something may surprise."
                " `vmguard explain RULE` says what a rule means.",
                (Query(_rate("vmguard_findings_total", "rule, kind"), "{{rule}} {{kind}}"),),
                "reqps",
            ),
            Panel(
                "Time of an answer",
                "From the last byte of a review to its answer.",
                (
                    Query(_quantile(0.5, "vmguard_admission_duration_seconds", "webhook"), "{{webhook}} p50"),
                    Query(_quantile(0.99, "vmguard_admission_duration_seconds", "webhook"), "{{webhook}} p99"),
                ),
                "s",
            ),
            Panel(
                "Previews of resources",
                "previewed: the pods of a resource were predicted. Otherwise it was admitted without their warnings.",
                (Query(_rate("vmguard_previews_total", "outcome"), "{{outcome}}"),),
                "reqps",
            ),
            Panel(
                "Dry runs by status",
                "Answers of /dry-run.",
                (Query(_rate("vmguard_dry_run_requests_total", "code"), "{{code}}"),),
                "reqps",
            ),
        ),
    ),
    PanelRow(
        "Calls of the API server",
        (
            Panel(
                "Time of a call",
                "As the API server measures it: the network, TLS and vmguard.",
                (Query(_quantile(0.99, _CALLS, "name", OURS), "{{name}} p99"),),
                "s",
            ),
            Panel(
                "Refused by the API server",
                "no_error: vmguard denied. Other types: the API server could not call vmguard and refused the request.",
                (
                    Query(
                        _rate("apiserver_admission_webhook_rejection_count", "name, error_type", OURS),
                        "{{name}} {{error_type}}",
                    ),
                ),
                "reqps",
            ),
            Panel(
                "Admitted without vmguard",
                "Calls that failed at an entry with failurePolicy Ignore.",
                (Query(_rate("apiserver_admission_webhook_fail_open_count", "name", OURS), "{{name}}"),),
                "reqps",
            ),
        ),
    ),
    PanelRow(
        "Running pods",
        (
            Panel(
                "Not compliant",
                "By namespace and kind of the resource.",
                (Query(f"max by (namespace, kind) (vmguard_noncompliant_pods{{{_JOB}}})", "{{namespace}} {{kind}}"),),
            ),
            Panel(
                "Not judged",
                "Pods whose resource is not known, or is of a kind that this version does not know.",
                (
                    Query(f"max by (namespace) (vmguard_unjudged_pods{{{_JOB}}})", "{{namespace}}"),
                    Query(f"max by (namespace, kind) (vmguard_unknown_kind_pods{{{_JOB}}})", "{{namespace}} {{kind}}"),
                ),
            ),
            Panel(
                "Not covered",
                "VictoriaMetrics pods in exempt namespaces and in kube-system. The API server does not call vmguard"
                " for them.",
                (
                    Query(f"max by (namespace) (vmguard_uncovered_pods{{{_JOB}}})", "{{namespace}}"),
                    Query(f"sum(max by (namespace) (vmguard_exempt_namespaces{{{_JOB}}}))", "exempt namespaces"),
                ),
            ),
        ),
    ),
    PanelRow(
        "What vmguard reads",
        (
            Panel(
                "Requests to the API server",
                "code 0: there was no answer.",
                (Query(_rate("vmguard_api_requests_total", "verb, resource, code"), "{{verb}} {{resource}} {{code}}"),),
                "reqps",
            ),
            Panel(
                "Lookups of owners",
                "By result, and by where the answer came from.",
                (Query(_rate("vmguard_lookups_total", "result, source"), "{{result}} {{source}}"),),
                "reqps",
            ),
            Panel(
                "Objects in the caches",
                "By resource.",
                (Query(f"sum by (resource) (vmguard_cache_objects{{{_JOB}}})", "{{resource}}"),),
            ),
        ),
    ),
    PanelRow(
        "The process",
        (
            Panel(
                "Memory",
                "In use by each replica, without its two worker processes.",
                (Query(f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}"),),
                "bytes",
            ),
            Panel(
                "CPU",
                "Seconds of processor time a second.",
                (Query(f"rate(process_cpu_seconds_total{{{_JOB}}}{_RATE})", "{{instance}}"),),
            ),
            Panel(
                "Connections",
                "Open connections of each listener, and how many may be open.",
                (
                    Query(f"vmguard_connections{{{_JOB}}}", "{{instance}} {{listener}}"),
                    Query(f"min by (listener) (vmguard_connections_max{{{_JOB}}})", "{{listener}} at most"),
                ),
            ),
            Panel(
                "Connections ended early",
                "By reason. not-trusted: a client refused vmguard's certificate.",
                (Query(_rate("vmguard_connections_ended_total", "listener, reason"), "{{listener}} {{reason}}"),),
                "reqps",
            ),
            Panel(
                "Renewals of certificates",
                "By what was renewed, and the result.",
                (Query(_rate("vmguard_certificate_renewals_total", "what, result"), "{{what}} {{result}}"),),
                "reqps",
            ),
            Panel(
                "Bodies of requests",
                "Bytes of requests that are not answered yet.",
                (Query(f"vmguard_request_body_bytes{{{_JOB}}}", "{{instance}}"),),
                "bytes",
            ),
        ),
    ),
)
"""In the order in which they are read: is it up, what does it answer, who is affected, why."""


def dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's model, for `Import`, a ConfigMap or a GrafanaDashboard."""
    return {
        "uid": _UID,
        "title": TITLE,
        "description": "The admission webhook that makes pods of the VictoriaMetrics operator secure",
        "tags": ["kubernetes", "security", "victoriametrics"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "links": [{"type": "link", "title": "Runbook", "url": RUNBOOK, "targetBlank": True}],
        "templating": {"list": _variables()},
        "panels": _panels(),
    }


def text() -> str:
    """The dashboard as JSON."""
    return json.dumps(dashboard(), indent=1) + "\n"


def config_map(names: InstallationNames) -> dict[str, Any]:
    """The dashboard in a ConfigMap that the sidecar of Grafana's charts finds by its label."""
    metadata = {"name": f"{names.account}-dashboard", "namespace": names.namespace}
    found_by = {**labels(names), "grafana_dashboard": "1"}
    data = {FILE: text()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**metadata, "labels": found_by}, "data": data}


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "job",
            "label": "Job",
            "type": "query",
            "datasource": dict(_DATASOURCE),
            "query": {"query": "label_values(vmguard_build_info, job)", "refId": "job"},
            "refresh": 2,
            "includeAll": True,
            "allValue": ".+",
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _panels() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        made.append({"id": len(made) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": place})
        top, left, height = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left = top + height, 0
            height = 4 if panel.kind == "stat" else 8
            place = {"x": left, "y": top, "w": panel.width, "h": height}
            made.append({"id": len(made) + 1, **_panel(panel), "gridPos": place})
            left += panel.width
        top += height
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + index), "expr": each.expression, "legendFormat": each.legend or "__auto"}
        for index, each in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": dict(_DATASOURCE),
        "targets": [{**each, "datasource": dict(_DATASOURCE)} for each in targets],
        "fieldConfig": {"defaults": {"unit": panel.unit, "thresholds": _thresholds(panel)}, "overrides": []},
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    """Green, but red below `at_least` and above `at_most`."""
    steps: list[dict[str, Any]] = [{"value": None, "color": "green" if panel.at_least is None else "red"}]
    if panel.at_least is not None:
        steps.append({"value": panel.at_least, "color": "green"})
    if panel.at_most is not None:
        steps.append({"value": panel.at_most + (1 if panel.at_most == panel.at_least else 0), "color": "red"})
    return {"mode": "absolute", "steps": steps}
