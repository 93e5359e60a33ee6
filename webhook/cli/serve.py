"""`vmguard serve`: the webhook. Standalone it needs no cluster: the objects in the files are all it knows."""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from socket import socket

import uvloop

from certs import CertificateError, DirectoryStore, ensure
from webhook.cli.files import read_files
from webhook.cli.review import kubernetes_version
from webhook.cli.usage import UsageError
from webhook.facts import NEWEST_MINOR
from webhook.offline.facts import FileFacts, ObjectError
from webhook.offline.inputs import InputError, facts_only
from webhook.server.run import Plan, bind, serve, url
from webhook.settings import Settings, SettingsError
from webhook.telemetry.log import Log

NAMES = ("localhost", "127.0.0.1")
"""What the standalone certificate is for."""

_LOOPBACK = {"VMGUARD_LISTEN": "127.0.0.1:8443", "VMGUARD_OPS_LISTEN": "127.0.0.1:8080"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("--standalone", action="store_true", help="serve without a cluster, from files, on 127.0.0.1")
    parser.add_argument("--objects", action="append", default=[], metavar="FILE", help="objects to decide by")
    parser.add_argument(
        "--kubernetes-version",
        type=kubernetes_version,
        default=NEWEST_MINOR,
        metavar="VERSION",
        help=f"such as 1.30 (default 1.{NEWEST_MINOR})",
    )
    parser.add_argument("--cert-dir", metavar="DIR", help="where ca.crt, tls.crt and tls.key are, made when missing")


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    if not options.standalone:
        raise UsageError("vmguard serve: this version serves with --standalone only; serving in a cluster comes next")
    if "-" in options.objects:
        raise UsageError("vmguard serve: --objects takes files; standard input is not read")
    try:
        unset = {name: value for name, value in _LOOPBACK.items() if not os.environ.get(name, "").strip()}
        settings = Settings.from_environment(os.environ, **unset)
        source = FileFacts(facts_only(read_files(options.objects)), options.kubernetes_version)
        directory = Path(options.cert_dir or settings.cert_dir or _cache() / "standalone")
        bundle, _ = ensure(DirectoryStore(directory), NAMES, now=datetime.now(UTC))
    except (SettingsError, InputError, ObjectError, CertificateError) as error:
        raise UsageError(f"vmguard serve: {error}") from None
    listeners = [_bind("VMGUARD_LISTEN", settings.listen), _bind("VMGUARD_OPS_LISTEN", settings.ops_listen)]
    plan = Plan(
        settings=settings,
        source=source,
        certificate=directory / "tls.crt",
        key=directory / "tls.key",
        expiry=bundle.leaf.not_after.timestamp(),
        worker_arguments=(str(options.kubernetes_version), *(str(Path(name).resolve()) for name in options.objects)),
    )
    log = Log(settings.log_level)
    if settings.psp_autocreate:
        log.write("warning", "VM_PSPAUTOCREATEENABLED has no effect without a cluster")

    def ready() -> None:
        print(f"vmguard serves {url('https', listeners[0])}, trust {directory / 'ca.crt'}", flush=True)

    uvloop.run(serve(plan, listeners[0], listeners[1], log, ready))
    return 0


def _bind(name: str, address: str) -> socket:
    try:
        return bind(address)
    except OSError as error:
        raise UsageError(f"vmguard serve: {name}={address}: {error.strerror}: choose another address") from None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmguard"
