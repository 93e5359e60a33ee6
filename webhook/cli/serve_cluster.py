"""`vmguard serve` in a cluster: the webhook with what it watches there, and the work of the leader."""

import argparse
import os
from pathlib import Path

import uvloop

from certs import CertificateError, DirectoryStore
from webhook.cli.cluster_runtime import Cluster
from webhook.cli.listening import listeners, serve_until_signal, warn_of_exposure
from webhook.cli.usage import UsageError
from webhook.cluster.client import NoClusterError, connected
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
    store = DirectoryStore(directory)
    log, metrics = Log(settings.log_level), Metrics()
    certificate = ServingCertificate(store, log, metrics)
    warn_of_exposure(store, log)
    sockets = listeners(settings)  # before anything runs beside it, so that a taken address is one line

    async def serving() -> None:
        rate = (settings.kube_api_qps, settings.kube_api_burst)
        async with (
            connected(options.kubeconfig, rate, metrics.count_api_request) as client,
            connected(options.kubeconfig, LEADERS_RATE, metrics.count_api_request) as leaders,
        ):
            cluster = Cluster(settings, client, leaders, log, metrics)
            what = Plan(settings, cluster.source, certificate, metrics=metrics, **cluster.of_plan())
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


def _for_cluster(options: argparse.Namespace) -> tuple[Settings, Path]:
    """The settings and the directory of certificates, once they are seen to fit a cluster."""
    if options.objects or options.kubernetes_version is not None:
        raise UsageError("vmguard serve: --objects and --kubernetes-version go with --standalone; a cluster tells both")
    settings = Settings.from_environment(os.environ)
    if not (options.cert_dir or settings.cert_dir):
        raise UsageError("vmguard serve: VMGUARD_CERT_DIR is not set: name the directory with tls.crt and tls.key")
    if settings.psp_autocreate and settings.watch_namespaces:
        raise UsageError(
            "vmguard serve: VM_PSPAUTOCREATEENABLED=true needs the whole cluster, as PodSecurityPolicies belong to it: "
            "unset WATCH_NAMESPACE or VM_PSPAUTOCREATEENABLED"
        )
    return settings, Path(options.cert_dir or settings.cert_dir)
