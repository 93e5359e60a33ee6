"""What the `vmguard certs` commands read: the Secret, both webhook configurations, and the files of a directory."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from certs import CertificateError, DirectoryStore, Rotation, from_data
from webhook.cli.certificate_report import ReadConfiguration, ReadFiles, ReadSecret
from webhook.cli.usage import UsageError
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import Collection
from webhook.cluster.permission import without_advice
from webhook.cluster.secret_data import SecretData, read_secret
from webhook.cluster.webhook_entries import CONFIGURATIONS, WebhookEntry, read_entries
from webhook.server.own_certificate import Installation, is_of_administrator
from webhook.settings import Settings, SettingsError


class SecretState(Struct, frozen=True):
    """The Secret as it was read, the state in it, and what is damaged."""

    secret: SecretData
    rotation: Rotation
    damage: tuple[str, ...]


class Entries(Struct, frozen=True):
    """All entries of one configuration; None where there is none. `unreadable` is why it could not be read."""

    kind: Collection
    entries: tuple[WebhookEntry, ...] | None
    unreadable: str = ""


class NamedInstallation(Struct, frozen=True):
    """The installation that a command is about."""

    installation: Installation
    configuration: str
    cert_dir: str
    watches_namespaces: bool

    @property
    def service(self) -> str:
        """`NAMESPACE/NAME` of the Service."""
        return f"{self.installation.namespace}/{self.installation.service}"

    def calls(self, entry: WebhookEntry) -> bool:
        """Whether an entry calls vmguard; any entry with a URL may."""
        return entry.service in {"", self.service}


def settings(command: str) -> Settings:
    """The settings in the environment.

    Raises:
        UsageError: one of them is not allowed.

    """
    try:
        return Settings.from_environment(os.environ)
    except SettingsError as error:
        raise UsageError(f"{command}: {error}") from None


def target_of(
    options: argparse.Namespace, environment: Settings, found: Iterable[Entries], default: str
) -> NamedInstallation:
    """The installation that the options name, and else the environment.

    Where neither names a namespace, it is that of the Service in the configurations, and else `default`.
    """
    service = options.service or environment.service
    called = {
        namespace
        for each in found
        for entry in each.entries or ()
        for namespace, _, name in [entry.service.partition("/")]
        if name == service
    }
    only = called.pop() if len(called) == 1 else ""
    namespace = options.namespace or environment.namespace or only or default
    return NamedInstallation(
        Installation(namespace, service),
        options.webhook_configuration or environment.webhook_configuration,
        getattr(options, "cert_dir", None) or environment.cert_dir,
        bool(environment.watch_namespaces),
    )


async def read_configurations(client: Client, name: str) -> tuple[Entries, ...]:
    """Both configurations of a name."""
    return tuple([await _entries(client, kind, name) for kind in CONFIGURATIONS])


async def _entries(client: Client, kind: Collection, name: str) -> Entries:
    try:
        return Entries(kind, await read_entries(client, kind, name))
    except UnreachableError as error:
        return Entries(kind, None, without_advice(str(error)))


def for_report(found: Iterable[Entries], target: NamedInstallation) -> tuple[ReadConfiguration, ...]:
    """The entries that call vmguard."""
    return tuple(
        ReadConfiguration(
            each.kind.kind,
            target.configuration,
            None if each.entries is None else tuple(filter(target.calls, each.entries)),
            each.unreadable,
        )
        for each in found
    )


async def read_state(client: Client, installation: Installation) -> SecretState | None:
    """The Secret of an installation, None where there is none.

    Raises:
        UnreachableError: it cannot be read; the text says why.

    """
    secret = await read_secret(client, installation.namespace, installation.secret)
    if secret is None:
        return None
    rotation, damage = from_data(secret.data, installation.server_name)
    return SecretState(secret, rotation, damage)


async def read_for_report(client: Client, target: NamedInstallation) -> ReadSecret:
    """The Secret of an installation."""
    try:
        found = await read_state(client, target.installation)
    except UnreachableError as error:
        return ReadSecret(unreadable=without_advice(str(error)))
    if found is None:
        return ReadSecret(is_of_administrator=target.watches_namespaces)
    is_administrators = target.watches_namespaces or is_of_administrator(found.secret)
    return ReadSecret(found.rotation, found.damage, is_administrators)


def read_files(directory: str) -> ReadFiles:
    """The pair of a directory."""
    try:
        return ReadFiles(directory, DirectoryStore(Path(directory)).contents().leaf())
    except CertificateError as error:
        return ReadFiles(directory, unreadable=str(error))
