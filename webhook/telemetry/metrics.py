"""The metrics: names, help texts and labels, each once. Counts and observes; reads no clock and decides nothing."""

import platform
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import choose_encoder

from webhook import __version__
from webhook.settings import Settings

disable_created_metrics()  # type: ignore[no-untyped-call]
"""No `_created` series: they would be a third of all lines, and no alert reads them."""

SHOWN_SETTINGS = (
    *("mode", "enforce", "unknown", "strict_security", "disable_automount", "harden_sidecars", "run_as"),
    "psp_autocreate",
)
"""The fields of `Settings` that `vmguard_config_info` has as labels: those that decide on pods."""

CONNECTION_FAULTS = ("not-trusted", "client-certificate", "full", "refused", "body-budget", "no-files")
"""The reasons for which vmguard ends a connection, as far as an alert watches them."""

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Children(dict[tuple[str, ...], Counter]):
    """The children of a counter by the values of its labels, because `Counter.labels` searches them each time."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def __missing__(self, values: tuple[str, ...]) -> Counter:
        child = self[values] = self._counter.labels(*values)
        return child


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vmguard_admission_requests",
            "Answered admission reviews, by webhook and outcome.",
            ("webhook", "outcome"),
            registry=self.registry,
        )
        self.duration = Histogram(
            "vmguard_admission_duration_seconds",
            "Time from a review's last byte to its answer.",
            ("webhook",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.findings = Counter(
            "vmguard_findings",
            "Findings of rules, by rule and kind of the finding (change, violation, warn); also in audit mode.",
            ("rule", "kind"),
            registry=self.registry,
        )
        self.lookups = Counter(
            "vmguard_lookups",
            "Lookups of owners and custom resources, by result and source.",
            ("result", "source"),
            registry=self.registry,
        )
        self.decision_cache_hits = Counter(
            "vmguard_decision_cache_hits",
            "Pods that got the cached decision on an identical pod.",
            registry=self.registry,
        )
        self.dry_runs = Counter(
            "vmguard_dry_run_requests", "Dry-run requests, by HTTP status code.", ("code",), registry=self.registry
        )
        self.previews = Counter(
            "vmguard_previews",
            "Previews of the pods of resources, by outcome: previewed, too-busy, too-large or failed.",
            ("outcome",),
            registry=self.registry,
        )
        self.api_requests = Counter(
            "vmguard_api_requests",
            "Requests to the API server, by verb, resource (plural) and HTTP status; 0 means no answer.",
            ("verb", "resource", "code"),
            registry=self.registry,
        )
        self.cached = Gauge(
            "vmguard_cache_objects",
            "Cached objects of each watched collection.",
            ("resource", "namespace"),
            registry=self.registry,
        )
        self.watched = Gauge(
            "vmguard_watch_ok",
            "1 while vmguard watches a collection; 0 while the watch is broken, and vmguard uses the last known state.",
            ("resource", "namespace"),
            registry=self.registry,
        )
        self.connections = Gauge(
            "vmguard_connections",
            "Open connections, including TLS handshakes, by listener.",
            ("listener",),
            registry=self.registry,
        )
        self.most_connections = Gauge(
            "vmguard_connections_max",
            "Connections that may be open at the same time, by listener.",
            ("listener",),
            registry=self.registry,
        )
        self.ended_connections = Counter(
            "vmguard_connections_ended",
            "Connections that vmguard closed or refused early, by listener and reason.",
            ("listener", "reason"),
            registry=self.registry,
        )
        self.body_bytes = Gauge(
            "vmguard_request_body_bytes",
            "Bytes of the bodies of unanswered requests.",
            registry=self.registry,
        )
        self.certificate_expiry = Gauge(
            "vmguard_certificate_expiry_timestamp_seconds",
            "When the serving certificate expires, in seconds since 1970 (UTC).",
            registry=self.registry,
        )
        self.certificate_renewals = Counter(
            "vmguard_certificate_renewals",
            "Renewals of certificates, by what was renewed (files, leaf, ca) and result (success, error).",
            ("what", "result"),
            registry=self.registry,
        )
        self.ca_expiry = Gauge(
            "vmguard_ca_certificate_expiry_timestamp_seconds",
            "When the CA of vmguard's certificates expires, in seconds since 1970 (UTC); 0 if vmguard has none.",
            registry=self.registry,
        )
        self.webhook_ca_bundle_ok = Gauge(
            "vmguard_webhook_ca_bundle_ok",
            "Whether the CA bundles of a webhook configuration verify the serving certificate (1) or not (0).",
            ("configuration",),
            registry=self.registry,
        )
        self.weaker_entries = Gauge(
            "vmguard_weaker_entries",
            "Entries of a webhook configuration that are weaker than those of the manifests, or missing.",
            ("configuration",),
            registry=self.registry,
        )
        self.tasks = Gauge(
            "vmguard_tasks",
            "Tasks of the event loop: watches, lookups and answers.",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        self.leader = Gauge(
            "leader_election_master_status",
            "Whether this process leads (1) or not (0), by the Lease's name.",
            ("name",),
            registry=self.registry,
        )
        self.noncompliant = Gauge(
            "vmguard_noncompliant_pods",
            "Noncompliant running pods, by namespace and kind of their resource; set by the leader.",
            ("namespace", "kind"),
            registry=self.registry,
        )
        self.unjudged = Gauge(
            "vmguard_unjudged_pods",
            "Running pods that vmguard could not judge at the last survey; set by the leader.",
            ("namespace",),
            registry=self.registry,
        )
        self.unknown_kinds = Gauge(
            "vmguard_unknown_kind_pods",
            "Running pods whose resource has a kind that this version does not know, by namespace; set by the leader.",
            ("namespace", "kind"),
            registry=self.registry,
        )
        self.exempt = Gauge(
            "vmguard_exempt_namespaces",
            "Namespaces that the label vmguard.io/exempt exempts from vmguard; set by the leader.",
            ("namespace",),
            registry=self.registry,
        )
        self.mislabelled = Gauge(
            "vmguard_namespaces_with_unknown_label",
            "Namespaces where a label of vmguard has a value that is not allowed; set by the leader.",
            ("namespace",),
            registry=self.registry,
        )
        self.uncovered = Gauge(
            "vmguard_uncovered_pods",
            "Running VictoriaMetrics pods in exempt namespaces and in kube-system; set by the leader.",
            ("namespace",),
            registry=self.registry,
        )
        self.surveyed = Gauge(
            "vmguard_survey_timestamp_seconds",
            "When this process last surveyed the running pods, in seconds since 1970 (UTC); 0 for never.",
            registry=self.registry,
        )
        self.policy_troubles = Gauge(
            "vmguard_policy_troubles",
            "Resources that are not bound to the policy they need, by namespace and reason; set by the leader.",
            ("namespace", "reason"),
            registry=self.registry,
        )
        self.build = Gauge(
            "vmguard_build_info",
            "Versions of vmguard and Python, operating system and architecture; always 1.",
            ("version", "python_version", "os", "arch"),
            registry=self.registry,
        )
        self.build.labels(__version__, platform.python_version(), platform.system().lower(), platform.machine()).set(1)
        self.config = Gauge(
            "vmguard_config_info",
            "The settings that decide on pods; always 1.",
            SHOWN_SETTINGS,
            registry=self.registry,
        )
        self._start_at_zero()

    def show_settings(self, settings: Settings) -> None:
        """Show the settings that decide on pods; true and false as in the environment."""
        shown = (str(getattr(settings, name)) for name in SHOWN_SETTINGS)
        self.config.labels(*(text.lower() if text in {"True", "False"} else text for text in shown)).set(1)

    def count_api_request(self, verb: str, resource: str, code: int) -> None:
        """Count one request to the API server."""
        self.api_requests.labels(verb, resource, str(code)).inc()

    def _start_at_zero(self) -> None:
        """Show each series that an alert watches before its first event: `increase` does not see a series appear."""
        for counter, *values in (
            (self.requests, ("mutate", "validate"), ("denied", "refused", "unknown", "error")),
            (self.previews, ("previewed", "too-busy", "too-large", "failed")),
            (self.ended_connections, ("webhook", "operations"), CONNECTION_FAULTS),
            (self.certificate_renewals, ("files", "leaf", "ca"), ("success", "error")),
        ):
            for labels in product(*values):
                counter.labels(*labels)

    def count_preview(self, outcome: str) -> None:
        """Count one preview, or that there was none."""
        self.previews.labels(outcome).inc()

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that an `Accept` header prefers, OpenMetrics or the text format, and its type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
