"""`vmguard certs init`: print a Secret with a new CA that an administrator renews. It connects to no cluster."""

import argparse
import base64
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certs import AUTHORITY_NAME, Authority, Rotation, to_data
from webhook.cli.certificate_reading import settings
from webhook.cli.certificate_report import key_id
from webhook.cli.certs import failed
from webhook.server.own_certificate import ADMINISTRATOR, MANAGED_BY, Installation
from webhook.yaml_output import as_yaml

_NAMESPACE = "vmguard-system"


def run(options: argparse.Namespace) -> int:
    """Print the Secret on standard output, and what to do with it on standard error."""
    if sys.stdout.isatty():
        raise failed(
            "init",
            "the output has a private key, so it is not printed on a terminal: add "
            "`| kubectl apply --server-side --field-manager vmguard-certs -f -`, or write it into a file that only you "
            "can read",
        )
    environment = settings("vmguard certs init")
    namespace = options.namespace or environment.namespace or _NAMESPACE
    installation = Installation(namespace, options.service or environment.service)
    authority = Authority.create(
        AUTHORITY_NAME, now=datetime.now(UTC), lifetime=timedelta(days=options.days), only=installation.server_name
    )
    if options.ca_file:
        _write(options.ca_file, authority.certificate_pem)
    sys.stdout.write(secret_text(installation, authority))
    sys.stdout.flush()
    end = authority.certificate.not_valid_after_utc.isoformat()
    print(
        f"This CA (key id {key_id(authority.certificate)[:8]}) is valid until {end} for {installation.server_name}.\n"
        f"The Secret {namespace}/{installation.secret} has its private key. Both webhook configurations need the value "
        "of its ca.crt as caBundle. Do not apply it over a CA that is in use: docs/certificates.md has the steps.",
        file=sys.stderr,
    )
    return 0


def secret_text(installation: Installation, authority: Authority) -> str:
    """The Secret as YAML. Its `ca.crt` is what the configurations have as `caBundle`, in base64 too."""
    data = {name: base64.b64encode(value).decode() for name, value in to_data(Rotation(authority)).items()}
    return as_yaml(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": installation.secret,
                "namespace": installation.namespace,
                "annotations": {MANAGED_BY: ADMINISTRATOR},
            },
            "type": "Opaque",
            "data": data,
        }
    )


def _write(file: str, pem: bytes) -> None:
    try:
        Path(file).write_bytes(pem)
    except OSError as error:
        raise failed("init", f"--ca-file {file}: {error.strerror or error}") from None
