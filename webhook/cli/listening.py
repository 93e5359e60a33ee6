"""What both ways to serve share: the listeners, the plan of the server, and the line that says it is ready."""

from pathlib import Path
from socket import socket

from certs import AUTHORITY_FILE, DirectoryStore
from webhook.cli.usage import UsageError
from webhook.server.run import Plan, bind, serve, url
from webhook.settings import Settings
from webhook.telemetry.log import Log


def warn_of_exposure(store: DirectoryStore, log: Log) -> None:
    """Log that other users of the machine can read the private key, where they can."""
    if text := store.exposure():
        log.write("warning", "private key readable", reason=text)


def listeners(settings: Settings) -> tuple[socket, socket]:
    """The sockets of the webhook listener and the operations listener.

    Raises:
        UsageError: an address is taken, or not this machine's.

    """
    return _bind("VMGUARD_LISTEN", settings.listen), _bind("VMGUARD_OPS_LISTEN", settings.ops_listen)


async def serve_until_signal(plan: Plan, listeners: tuple[socket, socket], directory: Path, log: Log) -> None:
    """Serve; print one line on standard output once the server is ready."""

    def ready() -> None:
        authority = directory / AUTHORITY_FILE
        trust = f", trust {authority}" if authority.exists() else ""  # others may give clients what they trust
        print(f"vmguard serves {url('https', listeners[0])}{trust}", flush=True)

    await serve(plan, *listeners, log, ready)


def _bind(name: str, address: str) -> socket:
    try:
        return bind(address)
    except OSError as error:
        raise UsageError(f"vmguard serve: {name}={address}: {error.strerror}: choose another address") from None
