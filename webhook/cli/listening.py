"""What both ways to serve share: the listeners, the plan of the server, and the line that says it is ready."""

from pathlib import Path
from socket import socket

from certs import AUTHORITY_FILE, DirectoryStore
from webhook.cli.usage import UsageError
from webhook.server.client_certificates import ClientCertificates
from webhook.server.run import Plan, bind, serve, url
from webhook.settings import Settings
from webhook.telemetry.log import Log


def warn_of_exposure(store: DirectoryStore, log: Log) -> None:
    """Log that other users of the machine can read the private key, where they can."""
    if text := store.exposure():
        log.write("warning", "private key readable", reason=text)


def clients_of(settings: Settings) -> ClientCertificates | None:
    """Which clients the webhook listener serves, None for all.

    Raises:
        CertificateError: the file with their CAs cannot be read.

    """
    if not settings.client_ca_file:
        return None
    return ClientCertificates(Path(settings.client_ca_file), settings.client_names)


def listeners(settings: Settings) -> tuple[socket, socket]:
    """The sockets of the webhook listener and the operations listener.

    Raises:
        UsageError: an address is taken, or not this machine's.

    """
    return _bind("VMGUARD_LISTEN", settings.listen), _bind("VMGUARD_OPS_LISTEN", settings.ops_listen)


async def serve_until_signal(plan: Plan, listeners: tuple[socket, socket], directory: Path | None, log: Log) -> None:
    """Serve; print one line on standard output once the server is ready."""

    def ready() -> None:
        authority = directory / AUTHORITY_FILE if directory else None
        trust = f", trust {authority}" if authority and authority.exists() else ""  # others may tell clients
        print(f"vmguard serves {url('https', listeners[0])}{trust}", flush=True)

    await serve(plan, *listeners, log, ready)


def _bind(name: str, address: str) -> socket:
    try:
        return bind(address)
    except OSError as error:
        raise UsageError(f"vmguard serve: {name}={address}: {error.strerror}: choose another address") from None
