"""The alerts on vmguard: one table, from which the rules of VictoriaMetrics and of Prometheus are made.

An expression reads metrics of vmguard (docs/metrics.md) or of the API server, whose names are Kubernetes' own. Each
alert has a section in docs/alerts.md. To add an alert, add a row here, its section there, and its cases in
tests/integration/alerts/alert_cases.yaml.
"""

from typing import Any, Literal

import msgspec

from webhook.policy.wording import DOCS

RUNBOOK = f"{DOCS}alerts.md"
"""The page with a section for each alert."""

GROUP_NAME = "vmguard"

OURS = 'name=~".+[.]vmguard[.]io"'
"""Selects the metrics of the API server on vmguard's webhook entries."""

_PLACE = "by (namespace, job)"
"""One installation: Prometheus gives each target the namespace and the job of its Service."""

_NAMED_NAMESPACE = "{{ with $labels.exported_namespace }}{{ . }}{{ else }}{{ $labels.namespace }}{{ end }}"
"""The namespace that the metric names. Without `honorLabels` Prometheus renames that label."""


_REJECTED = (
    f"apiserver_admission_webhook_rejection_count{{{OURS}, "
    'error_type=~"calling_webhook_error|apiserver_internal_error", rejection_code!="500"}'
)
"""Requests that the API server refused without an answer of vmguard.

It counts a call without an HTTP answer as 503, in Kubernetes 1.24 as 400. vmguard refuses with HTTP 500.
"""

_OPENED = f"apiserver_admission_webhook_fail_open_count{{{OURS}}}"


def _repeated(series: str, by: str) -> str:
    """The expression "what a counter counts happens again and again, and has happened in the last 20 minutes".

    A controller waits at most 1000 seconds before it retries, so three retries are in 50 minutes. A burst of less than
    two minutes makes `increase[5m]` positive for at most seven of these minutes.
    """
    lately = f"sum {by} (increase({series}[20m])) > 0"
    return f"{lately} and count_over_time((sum {by} (increase({series}[5m])) > 0)[50m:1m]) > 7"


def _forbidden(configurations: str) -> str:
    """The expression "the API server refuses to vmguard, again and again, to get an object".

    With `resource!~` it leaves out the webhook configurations, with `resource=~` it has nothing else. vmguard need not
    read them with WATCH_NAMESPACE, where it does not watch Namespaces either.
    """
    selected = f'verb="get", code="403", {configurations}".+webhookconfigurations"'
    return f"sum by (namespace, job, resource) (increase(vmguard_api_requests_total{{{selected}}}[5m])) > 0"


class Alert(msgspec.Struct, frozen=True):
    """One alert: an expression in PromQL that must hold for a time (`wait`, "" for none) before the alert fires.

    `summary` and `description` may have Prometheus templates.
    """

    name: str
    severity: Literal["critical", "warning", "info"]
    expression: str
    wait: str
    summary: str
    description: str

    def rule(self, runbook: str = RUNBOOK) -> dict[str, Any]:
        """The alerting rule, as Prometheus and vmalert read it; `runbook` is the address of the page."""
        return {
            "alert": self.name,
            "expr": self.expression,
            **({"for": self.wait} if self.wait else {}),
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbook}#{self.name.lower()}",
            },
        }


ALERTS = (
    Alert(
        "VmguardAbsent",
        "critical",
        "absent(vmguard_build_info)",
        "5m",
        "There are no metrics of vmguard",
        "No replica runs, or Prometheus cannot read its metrics. While no replica runs, the API server refuses"
        " VictoriaMetrics pods where a webhook entry has failurePolicy Fail.",
    ),
    Alert(
        "VmguardCallsFail",
        "critical",
        _repeated(_REJECTED, "by (name)"),
        "1m",
        "The API server refuses requests because it cannot call vmguard",
        "Calls of {{ $labels.name }} fail. The entry has failurePolicy Fail, so the API server refuses the pods.",
    ),
    Alert(
        "VmguardFailsOpen",
        "warning",
        f"sum by (name) (increase({_OPENED}[20m]) > 0 or {_OPENED} unless {_OPENED} offset 20m) > 0",
        "5m",
        "The API server admits requests that vmguard did not see",
        "Calls of {{ $labels.name }} fail. The entry has failurePolicy Ignore, so the API server admits the objects.",
    ),
    Alert(
        "VmguardSlow",
        "warning",
        "histogram_quantile(0.99, sum by (le, name) (rate("
        f"apiserver_admission_webhook_admission_duration_seconds_bucket{{{OURS}}}[5m]))) > 1",
        "10m",
        "vmguard answers the API server slowly",
        "1 % of the calls of {{ $labels.name }} take longer than {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "VmguardPodsNotKnown",
        "warning",
        f'sum {_PLACE} (increase(vmguard_admission_requests_total{{outcome=~"refused|unknown|error"}}[20m])) > 0',
        "",
        "vmguard cannot decide on some pods",
        "vmguard refuses such pods with HTTP 500. In audit mode, or with VMGUARD_UNKNOWN=allow, it admits pods with"
        " unknown owners unchanged.",
    ),
    Alert(
        "VmguardPodsDenied",
        "warning",
        _repeated('vmguard_admission_requests_total{outcome="denied"}', _PLACE),
        "1m",
        "vmguard denies pods or resources again and again",
        "A controller's pods are missing because vmguard denies them, or a user applies a denied resource again and"
        " again. For pods, an Event on their resource has the reason.",
    ),
    Alert(
        "VmguardCABundleWrong",
        "critical",
        "vmguard_webhook_ca_bundle_ok == 0",
        "2m",
        "A CA bundle does not verify vmguard's certificate",
        "The API server cannot call {{ $labels.instance }} through an entry of the {{ $labels.configuration }}."
        " vmguard has not repaired the CA bundle.",
    ),
    Alert(
        "VmguardNotRegistered",
        "critical",
        f"sum {_PLACE} (increase(vmguard_api_requests_total{{"
        'resource="mutatingwebhookconfigurations", verb="get", code="404"}[5m])) > 0'
        ' unless on (namespace, job) vmguard_webhook_ca_bundle_ok{configuration="MutatingWebhookConfiguration"}',
        "5m",
        "The API server does not call vmguard",
        "vmguard runs, but its MutatingWebhookConfiguration does not exist. So vmguard secures no new pod.",
    ),
    Alert(
        "VmguardEntriesWeaker",
        "warning",
        "max by (namespace, job, configuration) (vmguard_weaker_entries) > 0",
        "15m",
        "Webhook entries of vmguard are weaker than those of the manifests",
        "{{ $value }} entries of the {{ $labels.configuration }} are weaker or missing. The API server does not call"
        " vmguard for some objects, or creates them when vmguard does not answer.",
    ),
    Alert(
        "VmguardCertificateExpiresSoon",
        "critical",
        "vmguard_certificate_expiry_timestamp_seconds - time() < 6 * 3600",
        "",
        "vmguard's certificate expires within six hours",
        "The certificate of {{ $labels.instance }} expires in {{ $value | humanizeDuration }}. After that, the API"
        " server cannot call this replica.",
    ),
    Alert(
        "VmguardCertificateRenewalFails",
        "warning",
        'increase(vmguard_certificate_renewals_total{result="error"}[15m]) > 0',
        "",
        "vmguard cannot renew a certificate",
        "{{ $labels.instance }} reports an error for {{ $labels.what }}: files are those in VMGUARD_CERT_DIR, leaf is"
        " its own certificate, ca is the CA.",
    ),
    Alert(
        "VmguardCAExpiresSoon",
        "warning",
        "vmguard_ca_certificate_expiry_timestamp_seconds > 0"
        " and vmguard_ca_certificate_expiry_timestamp_seconds - time() < 60 * 86400",
        "",
        "vmguard's CA expires within 60 days",
        "Either an administrator must renew the CA, or vmguard failed to do so 120 days before its end.",
    ),
    Alert(
        "VmguardCertificateNotTrusted",
        "warning",
        'rate(vmguard_connections_ended_total{reason="not-trusted"}[5m]) > 0',
        "",
        "A client does not trust vmguard's certificate",
        "If the client is the API server, it refuses pods. The log of {{ $labels.instance }} has the client's address.",
    ),
    Alert(
        "VmguardClientCertificateRefused",
        "warning",
        'rate(vmguard_connections_ended_total{reason="client-certificate"}[5m]) > 0',
        "",
        "A client has no certificate that vmguard accepts",
        "If the client is the API server, it refuses pods. The log of {{ $labels.instance }} has the client's address.",
    ),
    Alert(
        "VmguardNoLeader",
        "warning",
        "sum by (namespace, name) (leader_election_master_status) != 1",
        "1m",
        "vmguard has no leader, or more than one",
        "{{ $value }} replicas in {{ $labels.namespace }} report that they hold the Lease {{ $labels.name }}. Without a"
        " leader no replica surveys the running pods or renews the CA.",
    ),
    Alert(
        "VmguardNoSurvey",
        "warning",
        f"time() - max {_PLACE} (vmguard_survey_timestamp_seconds) > 900",
        "2m",
        "vmguard does not survey the running pods",
        "No survey succeeded for 15 minutes. Metrics on running pods show what the last survey found.",
    ),
    Alert(
        "VmguardCachesStale",
        "warning",
        "min by (namespace, job, instance, resource) (vmguard_watch_ok) == 0",
        "5m",
        "vmguard does not see changes in the cluster",
        "{{ $labels.instance }} cannot watch {{ $labels.resource }}. It uses the last state that it has seen, and reads"
        " other objects one by one.",
    ),
    Alert(
        "VmguardPermissionMissing",
        "warning",
        f"{_forbidden('resource!~')} or {_forbidden('resource=~')} and on (namespace, job) "
        'vmguard_watch_ok{resource="namespaces"}',
        "5m",
        "The role of vmguard lacks a permission",
        "vmguard may not get {{ $labels.resource }}. /readyz?verbose and the log of vmguard name the role, and the"
        " command that adds the permission.",
    ),
    Alert(
        "VmguardPodsNotCompliant",
        "warning",
        f'sum {_PLACE} (vmguard_noncompliant_pods) > 0 and on (job) vmguard_config_info{{mode="enforce"}}',
        "1h",
        "Noncompliant pods run although vmguard enforces",
        "These VictoriaMetrics pods are older than vmguard, have a value that vmguard does not change, or the API"
        " server did not call vmguard for them.",
    ),
    Alert(
        "VmguardUnknownKind",
        "warning",
        f"sum {_PLACE} (vmguard_unknown_kind_pods) > 0",
        "",
        "The resources of running pods have a kind that vmguard does not know",
        "vmguard does not secure {{ $value }} running pods, because this version does not know the kind of their"
        " resource.",
    ),
    Alert(
        "VmguardExemptNamespace",
        "info",
        "max by (namespace, exported_namespace) (vmguard_exempt_namespaces) > 0",
        "15m",
        "A namespace is exempt from vmguard",
        f"The namespace {_NAMED_NAMESPACE} has the label vmguard.io/exempt=true: vmguard neither fills nor denies pods"
        " there.",
    ),
    Alert(
        "VmguardUnknownLabel",
        "warning",
        "max by (namespace, exported_namespace) (vmguard_namespaces_with_unknown_label) > 0",
        "15m",
        "A namespace has a label of vmguard with a value that is not allowed",
        f"The namespace is {_NAMED_NAMESPACE}. With such a value, vmguard.io/mode and vmguard.io/exempt have no effect,"
        " and vmguard.io/enforce counts as deny.",
    ),
    Alert(
        "VmguardLeftInAudit",
        "info",
        f'max {_PLACE} (vmguard_config_info{{mode="audit"}}) > 0',
        "14d",
        "vmguard has been in audit mode for two weeks",
        "vmguard changes and denies nothing in audit mode, except in namespaces with the label"
        " vmguard.io/mode=enforce.",
    ),
    Alert(
        "VmguardConnectionsFull",
        "warning",
        "vmguard_connections > 0.9 * vmguard_connections_max",
        "",
        "A listener of vmguard has almost no free connections",
        "The listener {{ $labels.listener }} of {{ $labels.instance }} has {{ $value }} connections.",
    ),
    Alert(
        "VmguardConnectionsRefused",
        "warning",
        'rate(vmguard_connections_ended_total{reason=~"full|refused|body-budget|no-files"}[5m]) > 0',
        "",
        "vmguard refuses or closes connections because a limit is reached",
        "The listener {{ $labels.listener }} of {{ $labels.instance }} ends connections early: {{ $labels.reason }}.",
    ),
    Alert(
        "VmguardPreviewsMissing",
        "info",
        f'sum {_PLACE} (rate(vmguard_previews_total{{outcome=~"too-busy|failed"}}[5m])) > 0',
        "",
        "vmguard admits resources without the warnings of a preview",
        "A client applies very many costly resources, or the preview worker fails. The pods are as secure as before.",
    ),
)
"""In the order of docs/alerts.md: the API server's calls, certificates, the leader, connections."""


def rule_groups(runbook: str = RUNBOOK) -> list[dict[str, Any]]:
    """The groups of a VMRule, of a PrometheusRule and of a file of rules."""
    return [{"name": GROUP_NAME, "rules": [each.rule(runbook) for each in ALERTS]}]
