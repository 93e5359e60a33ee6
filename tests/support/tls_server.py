"""An HTTP server of a test, over TLS, in a thread."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import HTTPServer
from pathlib import Path

from certs import DirectoryStore, ensure


@contextmanager
def over_tls(server: HTTPServer, certificate: Path, key: Path | None = None) -> Iterator[str]:
    """The base URL of a server until the block ends; without `key`, the file of the certificate also has the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def over_trusted_tls(server: HTTPServer, folder: Path) -> Iterator[tuple[str, bytes]]:
    """`(base URL, CA's PEM)` of a server that shows a certificate of a CA of its own, made in the folder."""
    bundle, _ = ensure(DirectoryStore(folder), ("localhost", "127.0.0.1"), now=datetime.now(UTC))
    with over_tls(server, folder / "tls.crt", folder / "tls.key") as base:
        yield base, bundle.authority_pem
