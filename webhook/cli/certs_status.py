"""`vmguard certs status`: read an installation and report on its certificates. It writes nothing."""

import argparse
import asyncio
import os
import sys
from datetime import UTC, datetime

import msgspec

from webhook.cli.certificate_reading import (
    for_report,
    read_configurations,
    read_files,
    read_for_report,
    settings,
    target_of,
)
from webhook.cli.certificate_report import CertificateReport, as_json, as_text, of_files, of_secret
from webhook.cli.certs import failed
from webhook.cluster.client import NoClusterError, connected
from webhook.manifests.installation import MODE
from webhook.manifests.weaker_entries import weaker

_OUTPUTS = {"table": as_text, "json": as_json}


def run(options: argparse.Namespace) -> int:
    """Print the report; 0 if all is well, 1 if a person must act, 2 if something cannot be read."""
    try:
        report = asyncio.run(_report(options))
    except NoClusterError as error:
        raise failed("status", f"{error.reason}: no cluster; see --kubeconfig") from None
    sys.stdout.write(_OUTPUTS[options.output](report))
    return report.status


async def _report(options: argparse.Namespace) -> CertificateReport:
    environment = settings("vmguard certs status")
    async with connected(options.kubeconfig, context=options.context) as client:
        name = options.webhook_configuration or environment.webhook_configuration
        found = await read_configurations(client, name)
        target = target_of(options, environment, found, client.namespace)
        configurations = for_report(found, target)
        now = datetime.now(UTC)
        if target.cert_dir:
            report = of_files(target.installation, read_files(target.cert_dir), configurations, now=now)
        else:
            report = of_secret(target.installation, await read_for_report(client, target), configurations, now=now)
        entries = {each.kind: each.entries for each in configurations if each.entries}
        trial = environment.mode == "audit" if MODE in os.environ else None
        return msgspec.structs.replace(report, weaker=weaker(entries, name=name, trial=trial))
