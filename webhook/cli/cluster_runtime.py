"""The parts of a webhook that serves a cluster, put together: what is watched, who answers by it, what leads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

from webhook.cluster.cached import CachedFacts
from webhook.cluster.client import Client
from webhook.cluster.discovery import Discovery
from webhook.cluster.election import Elector, Work, identity
from webhook.cluster.event_writer import EventWriter
from webhook.cluster.lease import Lease
from webhook.cluster.live import LiveFacts
from webhook.cluster.schemas import Schemas
from webhook.cluster.watching import Watching
from webhook.leader.audit_scan import AuditScan, LabelledNamespaces, exempt_note, namespace_notes
from webhook.manifests.weaker_entries import weaker_entries
from webhook.policy.enforcement import MODE_LABEL, MODE_VALUE
from webhook.policy.platform import refused_by_constraints
from webhook.policy.policy_references import REMOVED
from webhook.server.client_certificates import ClientCertificates
from webhook.server.own_certificate import Installation, OwnCertificate
from webhook.server.serving_certificate import ServingCertificate
from webhook.server.webhook_trust import WebhookTrust
from webhook.settings import Settings, SettingsError
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

MOST_KINDS = 20
"""Unknown kinds that `/readyz?verbose` names."""


_MODES = {
    "enforce": "enforce",
    "audit": f"audit: a trial, except in namespaces with the label {MODE_LABEL}={MODE_VALUE}",
}
"""What readiness says of VMGUARD_MODE."""


class Cluster:
    """Made in a running loop; at work inside `running`. `leaders` is the leader's own connection.

    `files` is the certificate where it comes from files; without them vmguard makes its own. `clients` are those that
    the webhook listener serves, None for all.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        leaders: Client,
        log: Log,
        metrics: Metrics,
        files: ServingCertificate | None,
        clients: ClientCertificates | None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._discovery = Discovery(client, log)
        self._discovery.on_learnt = self._warn_of_platform
        self._refused_by_platform = ""
        self._watching = Watching(client, self._discovery, settings.watch_namespaces, log, metrics)
        watched = settings.watch_namespaces
        self.source = CachedFacts(self._watching, self._discovery, LiveFacts(client, self._discovery, watched))
        memory = CachedFacts(self._watching, self._discovery, LiveFacts(leaders, self._discovery, watched))
        self._schemas = Schemas(client, self._discovery, whole_cluster=self._watching.whole_cluster)
        self._events = EventWriter(leaders, self._discovery, watched, self._exempt, log) if settings.events else None
        self._survey = AuditScan(
            leaders,
            memory,
            self._watching.knows,
            settings,
            log,
            metrics,
            labelled_namespaces=lambda: LabelledNamespaces(self._watching.exempt, self._watching.mislabelled()),
            offer=self._events.offer if self._events else None,
        )
        namespace = settings.namespace or client.namespace
        lease = Lease(leaders, namespace, settings.lease, identity())
        policies, self._trouble_of_policies = self._policies(leaders, log, metrics)
        self._elector = Elector(lease, {"survey": self._survey.run, **policies}, log)
        metrics.leader.labels(settings.lease).set_function(lambda: float(self._elector.leads))
        service = f"{namespace}/{settings.service}"
        name = settings.webhook_configuration
        compare = partial(weaker_entries, name=name, trial=settings.mode == "audit")
        self._trust = WebhookTrust(leaders, name, service, log, metrics, compare)
        self._own = None if files else self._own_certificate(leaders, namespace, log, metrics)
        self.certificate = files or ServingCertificate(cast("OwnCertificate", self._own), log, metrics, clients=clients)
        self._standing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch, read definitions and take part in the election until the block ends.

        Raises:
            ExceptionGroup: one of these failed, or the block did.

        """
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watching.run())
            looking = tasks.create_task(self._look())
            self._standing = tasks.create_task(self._stand())
            judging = None if self._own else tasks.create_task(self._trust.run(lambda: self.certificate.leaf))
            writing = tasks.create_task(self._events.run()) if self._events else None
            yield
            for task in (watching, looking, judging, writing):
                if task:
                    task.cancel()

    def of_plan(self) -> dict[str, Any]:
        """What the plan of a server has from a cluster."""
        return {
            "prepare": self._prepare,
            "checks": {
                "cluster": self._watching.missing,
                **({"own-certificate": self._own.check} if self._own else {}),
                "webhook-configurations": self._trust.check,
            },
            "notes": self._troubles,
            "tells": lambda: {
                "mode": _MODES[self._settings.mode],
                "leader": self._elector.standing,
                **({"policy-references": self._schemas.told} if self._discovery.serves_policies is not False else {}),
            },
            "leave": self._leave,
            "offer": self._events.offer if self._events else None,
        }

    async def _prepare(self) -> None:
        await self._watching.synced()
        if self._settings.psp_autocreate and not self._discovery.serves_policies:
            raise SettingsError(f"VM_PSPAUTOCREATEENABLED=true: {REMOVED}: unset it")

    async def _look(self) -> None:
        await self._watching.synced()
        await self._schemas.run(self._watching.definitions_told)

    async def _stand(self) -> None:
        await self._watching.synced()
        await self._elector.run()

    async def _leave(self) -> None:
        """Give the lease back, once the leader's work has ended."""
        if self._standing:
            self._standing.cancel()
            await asyncio.wait([self._standing])

    def _troubles(self) -> dict[str, str]:
        return {
            **self._watching.troubles(),
            **namespace_notes(self._mislabelled()),
            "ca-bundles": self._trust.note,
            "not-registered": self._trust.absent,
            "weaker-entries": self._trust.weaker,
            "leader-election": self._elector.trouble,
            "survey": self._survey.trouble,
            "openshift": self._refused_by_platform,
            "exempt-namespaces": exempt_note(sorted(self._exempt())),
            "not-covered": self._survey.excluded,
            "default-policies": self._trouble_of_policies(),
            "unknown-kinds": _unknown_kinds(self._discovery.unknown_kinds),
        }

    def _exempt(self) -> Collection[str]:
        """The exempt namespaces; with WATCH_NAMESPACE as the leader's last survey read them."""
        return self._watching.exempt if self._watching.whole_cluster else self._survey.exempt

    def _mislabelled(self) -> Mapping[str, str]:
        """The namespaces with an unknown label; with WATCH_NAMESPACE as the leader's last survey read them."""
        return self._watching.mislabelled() if self._watching.whole_cluster else self._survey.mislabelled

    def _warn_of_platform(self) -> None:
        """Log, once, that the platform refuses what vmguard fills in; readiness has it as long as that is so."""
        served = self._discovery.serves_constraints
        why = refused_by_constraints(self._settings.run_as, serves_constraints=served)
        if why and not self._refused_by_platform:
            self._log.write("warning", "OpenShift refuses pods", reason=why)
        self._refused_by_platform = why

    def _own_certificate(self, leaders: Client, namespace: str, log: Log, metrics: Metrics) -> OwnCertificate:
        whole_cluster = not self._settings.watch_namespaces
        installation = Installation(namespace, self._settings.service, whole_cluster)
        return OwnCertificate(leaders, installation, self._trust, lambda: self._elector.leads, log, metrics)

    def _policies(self, leaders: Client, log: Log, metrics: Metrics) -> tuple[dict[str, Work], Callable[[], str]]:
        """The leader's work on default policies, none if the setting is off, and what is wrong with it."""
        if not self._settings.psp_autocreate:
            return {}, str
        from webhook.leader.psp_reconciler import PolicyReconciler  # noqa: PLC0415 - 25 MiB of the client library that few need

        defaults = PolicyReconciler(leaders, self._watching, self._discovery, self._settings, log, metrics)
        return {"default-policies": defaults.run}, lambda: defaults.trouble


def _unknown_kinds(kinds: tuple[str, ...]) -> str:
    """What a person must know of served kinds without a row in the tables, "" for none."""
    if not kinds:
        return ""
    more = f" and {len(kinds) - MOST_KINDS} more" if len(kinds) > MOST_KINDS else ""
    return f"{', '.join(kinds[:MOST_KINDS])}{more}: not known to this version of vmguard, so their pods are not secured"
