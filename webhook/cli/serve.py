"""`vmguard serve`: the webhook, in a cluster; standalone it needs none: the objects in the files are all it knows."""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from socket import socket
from typing import Any

import msgspec
import uvloop

from certs import Bundle, CertificateError, DirectoryStore, ensure
from webhook.cli.cluster_runtime import Cluster
from webhook.cli.files import read_files
from webhook.cli.review import kubernetes_version
from webhook.cli.usage import UsageError
from webhook.cluster.client import NoClusterError, connected
from webhook.facts import NEWEST_MINOR, FactSource
from webhook.offline.file_facts import FileFacts, ObjectError
from webhook.offline.inputs import InputError, facts_only
from webhook.server.run import Plan, bind, serve, url
from webhook.settings import Settings, SettingsError
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

NAMES = ("localhost", "127.0.0.1")
"""What the standalone certificate is for."""

LEADERS_RATE = (10, 20)
"""Requests a second, and at once, of the leader's own connection, so that its work and admissions are apart."""

_STANDALONE = {
    "VMGUARD_LISTEN": "127.0.0.1:8443",
    "VMGUARD_OPS_LISTEN": "127.0.0.1:8080",
    "VMGUARD_SHUTDOWN_DELAY": "0",  # no endpoints have to learn of the end
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("--kubeconfig", metavar="FILE", default="", help="the cluster to serve; default KUBECONFIG")
    parser.add_argument("--standalone", action="store_true", help="serve without a cluster, from files, on 127.0.0.1")
    parser.add_argument("--objects", action="append", default=[], metavar="FILE", help="standalone: objects to know")
    parser.add_argument(
        "--kubernetes-version",
        type=kubernetes_version,
        metavar="VERSION",
        help=f"standalone: such as 1.30 (default 1.{NEWEST_MINOR})",
    )
    parser.add_argument(
        "--cert-dir", metavar="DIR", help="where ca.crt, tls.crt and tls.key are; default VMGUARD_CERT_DIR"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    try:
        return _standalone(options) if options.standalone else _in_cluster(options)
    except (SettingsError, InputError, ObjectError, CertificateError, NoClusterError) as error:
        raise UsageError(f"vmguard serve: {error}") from None


def _standalone(options: argparse.Namespace) -> int:
    if options.kubeconfig:
        raise UsageError("vmguard serve: --standalone knows no cluster: take --kubeconfig or --standalone away")
    if "-" in options.objects:
        raise UsageError("vmguard serve: --objects takes files; standard input is not read")
    unset = {name: value for name, value in _STANDALONE.items() if not os.environ.get(name, "").strip()}
    settings = Settings.from_environment(os.environ, **unset)
    minor = NEWEST_MINOR if options.kubernetes_version is None else options.kubernetes_version
    objects = facts_only(read_files(options.objects))
    source = FileFacts(objects, minor)
    directory = Path(options.cert_dir or settings.cert_dir or _cache() / "standalone")
    bundle, _ = ensure(DirectoryStore(directory), NAMES, now=datetime.now(UTC))
    log = Log(settings.log_level)
    if settings.psp_autocreate:
        log.write("warning", "VM_PSPAUTOCREATEENABLED has no effect without a cluster")
    plan = _plan(settings, source, directory, bundle, known=msgspec.json.encode(objects))
    uvloop.run(_serve(plan, _listeners(settings), directory, log))
    return 0


def _in_cluster(options: argparse.Namespace) -> int:
    settings, directory = _for_cluster(options)
    bundle = DirectoryStore(directory).load()
    log = Log(settings.log_level)
    listeners = _listeners(settings)  # before anything runs beside it, so that a taken address is told in one line

    async def serving() -> None:
        metrics = Metrics()
        rate = (settings.kube_api_qps, settings.kube_api_burst)
        async with (
            connected(options.kubeconfig, rate, metrics.count_api_request) as client,
            connected(options.kubeconfig, LEADERS_RATE, metrics.count_api_request) as leaders,
        ):
            cluster = Cluster(settings, client, leaders, log, metrics)
            plan = _plan(settings, cluster.source, directory, bundle, metrics=metrics, **cluster.of_plan())
            async with cluster.running():
                await _serve(plan, listeners, directory, log)

    try:
        uvloop.run(serving())
    except ExceptionGroup as group:  # a task group's
        told = group.subgroup((SettingsError, UsageError))
        if told is None:
            raise
        raise told.exceptions[0] from None
    return 0


def _for_cluster(options: argparse.Namespace) -> tuple[Settings, Path]:
    """The settings and the directory of certificates, once they are seen to fit a cluster."""
    if options.objects or options.kubernetes_version is not None:
        raise UsageError("vmguard serve: --objects and --kubernetes-version go with --standalone; a cluster tells both")
    settings = Settings.from_environment(os.environ)
    if not (options.cert_dir or settings.cert_dir):
        raise UsageError(
            "vmguard serve: VMGUARD_CERT_DIR is not set: name the directory with tls.crt, tls.key and ca.crt"
        )
    if settings.psp_autocreate and settings.watch_namespaces:
        raise UsageError(
            "vmguard serve: VM_PSPAUTOCREATEENABLED=true needs the whole cluster, as PodSecurityPolicies belong to it: "
            "unset WATCH_NAMESPACE or VM_PSPAUTOCREATEENABLED"
        )
    return settings, Path(options.cert_dir or settings.cert_dir)


def _plan(settings: Settings, source: FactSource, directory: Path, bundle: Bundle, **more: Any) -> Plan:
    return Plan(
        settings=settings,
        source=source,
        certificate=directory / "tls.crt",
        key=directory / "tls.key",
        expiry=bundle.leaf.not_after.timestamp(),
        **more,
    )


def _listeners(settings: Settings) -> tuple[socket, socket]:
    return _bind("VMGUARD_LISTEN", settings.listen), _bind("VMGUARD_OPS_LISTEN", settings.ops_listen)


async def _serve(plan: Plan, listeners: tuple[socket, socket], directory: Path, log: Log) -> None:
    def ready() -> None:
        print(f"vmguard serves {url('https', listeners[0])}, trust {directory / 'ca.crt'}", flush=True)

    await serve(plan, *listeners, log, ready)


def _bind(name: str, address: str) -> socket:
    try:
        return bind(address)
    except OSError as error:
        raise UsageError(f"vmguard serve: {name}={address}: {error.strerror}: choose another address") from None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmguard"
