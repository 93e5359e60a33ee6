"""`vmguard serve` in a cluster: the webhook with what it watches there, and the work of the leader."""

import argparse
import os
from pathlib import Path

import uvloop

from certs import CertificateError, DirectoryStore
from webhook.cli.cluster_runtime import Cluster
from webhook.cli.listening import clients_of, listeners, serve_until_signal, warn_of_exposure
from webhook.cli.usage import UsageError
from webhook.cluster.client import NoClusterError, connected
from webhook.manifests.role_advice import advice
from webhook.server.certificate_files import CertificateFiles
from webhook.server.run import Plan
from webhook.server.serving_certificate import ServingCertificate
from webhook.settings import Settings, SettingsError
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

LEADERS_RATE = (10, 20)
"""Requests a second, and at once, of the leader's own connection, so that its work and admissions are apart."""


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    try:
        return _run(options)
    except (SettingsError, CertificateError, NoClusterError) as error:
        raise UsageError(f"vmguard serve: {error}") from None


def _run(options: argparse.Namespace) -> int:
    settings, directory = _for_cluster(options)
    log, metrics = Log(settings.log_level, form=settings.log_format), Metrics()
    clients = clients_of(settings)
    files = None
    if directory:
        files = ServingCertificate(CertificateFiles(DirectoryStore(directory)), log, metrics, clients=clients)
        warn_of_exposure(DirectoryStore(directory), log)
    sockets = listeners(settings)  # before anything runs beside it, so that a taken address is one line

    async def serving() -> None:
        rate = (settings.kube_api_qps, settings.kube_api_burst)
        async with (
            connected(options.kubeconfig, rate, metrics.count_api_request, context=options.context) as client,
            connected(options.kubeconfig, LEADERS_RATE, metrics.count_api_request, context=options.context) as leaders,
        ):
            roles = advice(settings, settings.namespace or client.namespace, makes_certificates=files is None)
            client.advise = leaders.advise = roles
            cluster = Cluster(settings, client, leaders, log, metrics, files, clients)
            what = Plan(settings, cluster.source, cluster.certificate, metrics=metrics, **cluster.of_plan())
            async with cluster.running():
                await serve_until_signal(what, sockets, directory, log)

    try:
        uvloop.run(serving())
    except ExceptionGroup as group:  # a task group's
        expected = group.subgroup((SettingsError, UsageError))
        if expected is None:
            raise
        raise expected.exceptions[0] from None
    return 0


def _for_cluster(options: argparse.Namespace) -> tuple[Settings, Path | None]:
    """The settings, and the directory of certificates where there is one, once they are seen to fit a cluster."""
    if options.objects or options.kubernetes_version is not None:
        raise UsageError("vmguard serve: --objects and --kubernetes-version go with --standalone; a cluster tells both")
    settings = Settings.from_environment(os.environ)
    if settings.psp_autocreate and settings.watch_namespaces:
        raise UsageError(
            "vmguard serve: VM_PSPAUTOCREATEENABLED=true needs the whole cluster, as PodSecurityPolicies belong to it: "
            "unset WATCH_NAMESPACE or VM_PSPAUTOCREATEENABLED"
        )
    directory = options.cert_dir or settings.cert_dir
    return settings, Path(directory) if directory else None
