"""The clients that may send reviews: those with a certificate that a CA of VMGUARD_CLIENT_CA_FILE has signed.

A client without a certificate, such as a person, can still read `/docs` and use `/dry-run`.

With VMGUARD_CLIENT_NAMES the certificate must also have one of those names. vmguard reads the file again together with
the serving certificate. An unreadable file changes nothing: the last good one counts.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from certs import CertificateError, certificates_in, read_regular
from webhook.text import one_line

_MOST_NAMES = 5
"""Most names of a certificate that a message repeats."""


class ClientCertificates:
    """The CAs and the names; without names, every certificate that a CA has signed suffices."""

    def __init__(self, file: Path, names: tuple[str, ...] = ()) -> None:
        """Read the file.

        Raises:
            CertificateError: it cannot be read, or has no certificate.

        """
        self._file = file
        self._names = frozenset(names)
        self._pem = self._read()

    def look(self) -> bool:
        """Read the file again; whether it has other certificates than before.

        Raises:
            CertificateError: it cannot be read, or has no certificate.

        """
        pem = self._read()
        is_other, self._pem = pem != self._pem, pem
        return is_other

    def ask(self, context: ssl.SSLContext) -> None:
        """Make a TLS context request a certificate from clients, and refuse one that no CA has signed."""
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=self._pem)

    def refusal(self, certificate: Mapping[str, Any] | None) -> str:
        """Why a client is not served, "" if it is. The certificate is that of a finished handshake.

        It has the form of `ssl.SSLSocket.getpeercert`.
        """
        if not certificate:
            return "the client has no certificate"
        names = _names(certificate)
        if not self._names or not self._names.isdisjoint(names):
            return ""
        shown = one_line(", ".join(names[:_MOST_NAMES]), 200) or "no name"
        return f"the client's certificate has {shown}, and none of VMGUARD_CLIENT_NAMES"

    def _read(self) -> str:
        where = f"VMGUARD_CLIENT_CA_FILE={self._file}"
        try:
            pem = read_regular(self._file)
        except OSError as error:
            raise CertificateError(f"{where}: {error.strerror}. Put the CA of the API server's client there.") from None
        found = certificates_in(pem, where)
        if not found:
            raise CertificateError(f"{where} has no certificate. Put the CA of the API server's client there.")
        text = "".join(ssl.DER_cert_to_PEM_cert(each.public_bytes(Encoding.DER)) for each in found)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
        except ssl.SSLError as error:
            raise CertificateError(
                f"{where} has a certificate that OpenSSL rejects: {error}. Replace it by a valid CA certificate."
            ) from None
        return text


def _names(certificate: Mapping[str, Any]) -> list[str]:
    """The common names and the alternative names of a certificate."""
    common = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return [*common, *(value for _, value in certificate.get("subjectAltName", ()))]
