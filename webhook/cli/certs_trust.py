"""`vmguard certs trust`: write CA certificates into both webhook configurations, where vmguard does not do that."""

import argparse
import asyncio
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from certs import CertificateError, certificates_in
from webhook.cli.certificate_reading import Entries, NamedInstallation, read_configurations, settings, target_of
from webhook.cli.certs import failed
from webhook.cluster.client import Client, NoClusterError, UnreachableError, connected
from webhook.cluster.permission import without_advice
from webhook.cluster.webhook_entries import write_bundle

_ATTEMPTS = 5
"""At a configuration that others write at the same time."""


def run(options: argparse.Namespace) -> int:
    """Write the bundle; 1 where a configuration does not exist, or has no entry that calls vmguard."""
    bundle = _bundle(options.files)
    try:
        return asyncio.run(_trust(options, bundle))
    except NoClusterError as error:
        raise failed("trust", f"{error.reason}: no cluster; see --kubeconfig") from None
    except UnreachableError as error:
        raise failed("trust", without_advice(str(error))) from None


async def _trust(options: argparse.Namespace, bundle: bytes) -> int:
    environment = settings("vmguard certs trust")
    name = options.webhook_configuration or environment.webhook_configuration
    async with connected(options.kubeconfig, context=options.context) as client:
        found = await read_configurations(client, name)
        for each in found:
            if each.unreadable:  # before anything is written
                raise UnreachableError(each.unreadable)
        target = target_of(options, environment, found, client.namespace)
        return max([await _write(client, target, each, bundle) for each in found])


async def _write(client: Client, target: NamedInstallation, found: Entries, bundle: bytes) -> int:
    """Write into the entries of one configuration that call vmguard, and print what was done."""
    place = f"{found.kind.kind} {target.configuration}"
    answer = ""
    for _ in range(_ATTEMPTS):
        if found.unreadable:
            raise UnreachableError(found.unreadable)
        entries = tuple(filter(target.calls, found.entries or ()))
        if not entries:
            reason = "has no entry that calls" if found.entries is not None else "does not exist; it must call"
            print(f"{place} {reason} the Service {target.service}", file=sys.stderr)
            return 1
        changed = sum(entry.bundle != bundle for entry in entries)
        answer = await write_bundle(client, found.kind, target.configuration, entries, bundle)
        if not answer:
            print(f"{place}: {changed} of {len(entries)} entries changed")
            return 0
        (found,) = [each for each in await read_configurations(client, target.configuration) if each.kind == found.kind]
    raise UnreachableError(f"{place} could not be written {_ATTEMPTS} times: {answer}")


def _bundle(files: list[str]) -> bytes:
    """The certificates of the files, each once; anything else in them, such as a private key, is left out."""
    found = []
    for file in files:
        try:
            certificates = certificates_in(Path(file).read_bytes(), file)
        except OSError as error:
            raise failed("trust", f"{file}: {error.strerror or error}") from None
        except CertificateError as error:
            raise failed("trust", str(error)) from None
        found += [each.public_bytes(Encoding.PEM) for each in certificates]
    return b"".join(dict.fromkeys(found))
