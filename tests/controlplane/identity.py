"""The identities of a test's control plane: one authority, the certificates of servers and clients, and kubeconfig
files.

Each control plane has its own, and they have no value outside it.
"""

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs import Authority

LIFETIME = timedelta(days=11)
AGE = timedelta(days=9)
"""Of every certificate when it is made, so that a program whose clock is wrong by days takes it."""

NAMES = ("localhost", "127.0.0.1", "kubernetes.default.svc")


class ClientCertificate(NamedTuple):
    """What a client shows of itself, PEM."""

    certificate: bytes
    key: bytes


class Identities:
    """The authority of one control plane, with the files that its programs read in `folder`."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(UTC) - AGE
        self._folder = folder
        self._authority = Authority.create("control plane", now=now, lifetime=LIFETIME)
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(self._authority.certificate_pem)
        leaf = self._authority.issue(NAMES, now=now, lifetime=LIFETIME)
        self.certificate, self.key = self._write("apiserver", ClientCertificate(leaf.chain_pem, leaf.key_pem))
        accounts = ec.generate_private_key(ec.SECP256R1())
        self.accounts_key, self.accounts_public = folder / "accounts.key", folder / "accounts.pub"
        self.accounts_key.write_bytes(_pem(accounts))
        public = accounts.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.accounts_public.write_bytes(public)

    def client(self, user: str, groups: tuple[str, ...] = ()) -> ClientCertificate:
        """A client certificate: Kubernetes reads the user in its common name, the groups in its organisations."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        now = datetime.now(UTC).replace(microsecond=0) - AGE
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)]))
            .issuer_name(self._authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + LIFETIME - timedelta(minutes=1))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._authority.key, hashes.SHA256())
        )
        return ClientCertificate(certificate.public_bytes(Encoding.PEM), _pem(key))

    def context(self, client: ClientCertificate) -> ssl.SSLContext:
        """The TLS context of that client for the API server."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(*self._write("client", client))
        return context

    def kubeconfig(self, path: Path, url: str, client: ClientCertificate) -> Path:
        """Write a kubeconfig that holds all it needs, so that it works from anywhere."""
        user = {"client-certificate-data": _base64(client.certificate), "client-key-data": _base64(client.key)}
        return self.kubeconfig_with(path, url, user)

    def kubeconfig_with(self, path: Path, url: str, user: dict[str, str]) -> Path:
        """The same with other credentials, in the fields that a kubeconfig has for them."""
        authority = {"server": url, "certificate-authority-data": _base64(self.ca.read_bytes())}
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "vmguard",
                    "clusters": [{"name": "vmguard", "cluster": authority}],
                    "users": [{"name": "vmguard", "user": user}],
                    "contexts": [{"name": "vmguard", "context": {"cluster": "vmguard", "user": "vmguard"}}],
                }
            )
        )
        path.chmod(0o600)
        return path

    def _write(self, name: str, pair: ClientCertificate) -> tuple[Path, Path]:
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        return certificate, key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
