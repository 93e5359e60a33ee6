"""`vmguard serve --standalone`: the webhook without a cluster; it knows the objects in the files and no others."""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvloop

from certs import CertificateError, DirectoryStore, ensure
from webhook.cli.files import read_files
from webhook.cli.listening import clients_of, listeners, serve_until_signal, warn_of_exposure
from webhook.cli.usage import UsageError
from webhook.facts import NEWEST_MINOR
from webhook.offline.file_facts import FileFacts, ObjectError
from webhook.offline.inputs import InputError, facts_only
from webhook.server.certificate_files import CertificateFiles
from webhook.server.run import Plan
from webhook.server.serving_certificate import ServingCertificate
from webhook.settings import Settings, SettingsError
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

NAMES = ("localhost", "127.0.0.1")
"""What the standalone certificate is for."""

_DEFAULTS = {
    "VMGUARD_LISTEN": "127.0.0.1:8443",
    "VMGUARD_OPS_LISTEN": "127.0.0.1:8080",
    "VMGUARD_SHUTDOWN_DELAY": "0",  # no endpoints have to learn of the end
}


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    try:
        return _run(options)
    except (SettingsError, InputError, ObjectError, CertificateError) as error:
        raise UsageError(f"vmguard serve: {error}") from None


def _run(options: argparse.Namespace) -> int:
    if options.kubeconfig or options.context:
        raise UsageError(
            "vmguard serve: --standalone knows no cluster: take --standalone away, or --kubeconfig and --context"
        )
    if "-" in options.objects:
        raise UsageError("vmguard serve: --objects takes files; standard input is not read")
    unset = {name: value for name, value in _DEFAULTS.items() if not os.environ.get(name, "").strip()}
    settings = Settings.from_environment(os.environ, **unset)
    minor = NEWEST_MINOR if options.kubernetes_version is None else options.kubernetes_version
    objects = facts_only(read_files(options.objects))
    source = FileFacts(objects, minor)
    directory = Path(options.cert_dir or settings.cert_dir or _cache() / "standalone")
    store = DirectoryStore(directory)
    ensure(store, NAMES, now=datetime.now(UTC))
    log, metrics = Log(settings.log_level, form=settings.log_format), Metrics()
    certificate = ServingCertificate(CertificateFiles(store), log, metrics, clients=clients_of(settings))
    warn_of_exposure(store, log)
    if settings.psp_autocreate:
        log.write("warning", "VM_PSPAUTOCREATEENABLED has no effect without a cluster")
    what = Plan(settings, source, certificate, known=msgspec.json.encode(objects), metrics=metrics)
    uvloop.run(serve_until_signal(what, listeners(settings), directory, log))
    return 0


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmguard"
