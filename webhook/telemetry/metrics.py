"""The metrics: names, help texts and labels, each once. Counts and observes; reads no clock and decides nothing."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from webhook import __version__

CONTENT_TYPE = CONTENT_TYPE_LATEST

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Tally(defaultdict[tuple[str, ...], int]):
    """Counts by labels' values on their way to a counter, which hears of them when somebody reads.

    For one thread, which both counts and reads: `tally["mutate", "patched"] += 1`.
    """

    def __init__(self, counter: Counter) -> None:
        super().__init__(int)
        self._counter = counter

    def settle(self) -> None:
        """Hand all that was counted to the counter."""
        for labels, count in self.items():
            self._counter.labels(*labels).inc(count)
        self.clear()


class Durations:
    """A histogram of seconds by one label; to count one takes a fifth of what the library's takes.

    For one thread, as a tally.
    """

    def __init__(self, name: str, documentation: str, label: str, registry: CollectorRegistry) -> None:
        self._name, self._documentation, self._labelnames = name, documentation, (label,)
        self._series: dict[str, Series] = {}
        registry.register(self)

    def of(self, value: str) -> "Series":
        """The durations with this value of the label."""
        return self._series.setdefault(value, Series())

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)
        bounds = [*map(str, _BUCKETS), "+Inf"]
        for value, series in self._series.items():
            family.add_metric([value], list(zip(bounds, accumulate(series.counts), strict=True)), series.seconds)
        yield family


class Series:
    """How many durations ended up in which bucket, and all their seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one more duration."""
        self.counts[bisect_left(_BUCKETS, seconds)] += 1
        self.seconds += seconds


class _Settling:
    """A collector with no metric of its own; it stands first in the registry, and so all others are up to date."""

    def __init__(self, tallies: list[Tally]) -> None:
        self._tallies = tallies

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for tally in self._tallies:
            tally.settle()
        return iter(())


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tallies: list[Tally] = []
        self.registry.register(_Settling(self._tallies))
        self.requests = Counter(
            "vmguard_admission_requests",
            "Admission reviews answered, by webhook and outcome.",
            ("webhook", "outcome"),
            registry=self.registry,
        )
        self.duration = Durations(
            "vmguard_admission_duration_seconds",
            "Time from a review's last byte to its answer.",
            "webhook",
            self.registry,
        )
        self.findings = Counter(
            "vmguard_findings",
            "Findings of rules, by rule and kind (change, violation, warn); in audit mode too.",
            ("rule", "kind"),
            registry=self.registry,
        )
        self.lookups = Counter(
            "vmguard_lookups",
            "Look-ups of owners and custom resources, by result and source.",
            ("result", "source"),
            registry=self.registry,
        )
        self.dry_runs = Counter(
            "vmguard_dry_run_requests", "Dry-run requests, by HTTP status code.", ("code",), registry=self.registry
        )
        self.api_requests = Counter(
            "vmguard_api_requests",
            "Requests to the API server, by verb, resource (plural) and HTTP status; 0 is no answer.",
            ("verb", "resource", "code"),
            registry=self.registry,
        )
        self.cached = Gauge(
            "vmguard_cache_objects",
            "Objects that are kept of each watched collection.",
            ("resource", "namespace"),
            registry=self.registry,
        )
        self.connections = Gauge(
            "vmguard_connections",
            "Open connections, handshakes included, by listener.",
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
            "Bytes of the bodies of requests that are not answered yet.",
            registry=self.registry,
        )
        self.certificate_expiry = Gauge(
            "vmguard_certificate_expiry_timestamp_seconds",
            "When the serving certificate expires, in seconds since 1970 (UTC).",
            registry=self.registry,
        )
        self.tasks = Gauge(
            "vmguard_tasks",
            "Tasks of the event loop: what is watched, looked up and being answered.",
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
            "Running pods that are not as they must be, by namespace and kind of their resource; told by the leader.",
            ("namespace", "kind"),
            registry=self.registry,
        )
        self.unjudged = Gauge(
            "vmguard_unjudged_pods",
            "Running pods whose resource could not be known when they were surveyed; told by the leader.",
            ("namespace",),
            registry=self.registry,
        )
        self.unknown_kinds = Gauge(
            "vmguard_unknown_kind_pods",
            "Running pods of a kind that this version does not know, by namespace and kind; set by the leader.",
            ("namespace", "kind"),
            registry=self.registry,
        )
        self.surveyed = Gauge(
            "vmguard_survey_timestamp_seconds",
            "When this process last surveyed the running pods, in seconds since 1970 (UTC); 0 for never.",
            registry=self.registry,
        )
        self.policy_troubles = Gauge(
            "vmguard_policy_troubles",
            "Resources that are not bound to the policy they need, by namespace and reason; told by the leader.",
            ("namespace", "reason"),
            registry=self.registry,
        )
        build = Gauge("vmguard_build_info", "Version of this build; always 1.", ("version",), registry=self.registry)
        build.labels(__version__).set(1)

    def count_api_request(self, verb: str, resource: str, code: int) -> None:
        """Count one request to the API server."""
        self.api_requests.labels(verb, resource, str(code)).inc()

    def tally(self, counter: Counter) -> Tally:
        """What counts for a counter on the way of a request."""
        tally = Tally(counter)
        self._tallies.append(tally)
        return tally

    def text(self) -> bytes:
        """All of it in the Prometheus text format."""
        return generate_latest(self.registry)
