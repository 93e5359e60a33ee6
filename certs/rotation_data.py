"""The state of a rotation as the data of a Secret: one text for each part, in forms that people and tools can read.

It leaves out and names a part that it cannot read. The caller decides how to replace the part.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Authority
from certs.errors import CertificateError
from certs.pem import certificates_in
from certs.rotation import MOST_OLD, Rotation

if TYPE_CHECKING:
    from cryptography import x509

CURRENT_CERTIFICATE, CURRENT_KEY = "tls.crt", "tls.key"
NEXT_CERTIFICATE, NEXT_KEY = "next.crt", "next.key"
OLD_CERTIFICATES, OLD_UNTIL = "old.crt", "old.until"
TRUSTED = "ca.crt"

_LARGEST = 64 * 1024
"""Most bytes of one part, several times the size that vmguard writes."""


def to_data(rotation: Rotation) -> dict[str, bytes]:
    """The parts of a state. `ca.crt` is the bundle for people, and vmguard never reads it."""
    data = {TRUSTED: rotation.bundle}
    if rotation.current:
        data |= {CURRENT_CERTIFICATE: rotation.current.certificate_pem, CURRENT_KEY: rotation.current.key_pem}
    if rotation.next:
        data |= {NEXT_CERTIFICATE: rotation.next.certificate_pem, NEXT_KEY: rotation.next.key_pem}
    if rotation.old:
        data[OLD_CERTIFICATES] = b"".join(each.public_bytes(Encoding.PEM) for each in rotation.old)
    if rotation.old_until:
        data[OLD_UNTIL] = rotation.old_until.astimezone(UTC).isoformat(timespec="seconds").encode()
    return data


def from_data(data: Mapping[str, bytes], name: str) -> tuple[Rotation, tuple[str, ...]]:
    """The state from the parts, and the reasons of parts that were left out; an empty state for no data.

    It leaves out an authority that may not sign for `name`, a DNS name.
    """
    faults: list[str] = []
    current = _authority(data, CURRENT_CERTIFICATE, CURRENT_KEY, name, faults)
    following = _authority(data, NEXT_CERTIFICATE, NEXT_KEY, name, faults)
    old = _old(data, faults)
    return Rotation(current, following, old, _until(data, faults) if old else None), tuple(faults)


def _authority(data: Mapping[str, bytes], certificate: str, key: str, name: str, faults: list[str]) -> Authority | None:
    if certificate not in data and key not in data:
        return None
    try:
        authority = Authority.load(_part(data, certificate), _part(data, key), certificate, key)
    except CertificateError as error:
        faults.append(str(error))
        return None
    if authority.may_sign_for(name):
        return authority
    faults.append(f"The authority in {certificate} may not sign for {name}.")
    return None


def _old(data: Mapping[str, bytes], faults: list[str]) -> tuple[x509.Certificate, ...]:
    if OLD_CERTIFICATES not in data:
        return ()
    try:
        return certificates_in(_part(data, OLD_CERTIFICATES), OLD_CERTIFICATES)[:MOST_OLD]
    except CertificateError as error:
        faults.append(str(error))
        return ()


def _until(data: Mapping[str, bytes], faults: list[str]) -> datetime | None:
    try:
        until = datetime.fromisoformat(_part(data, OLD_UNTIL).decode())
    except (CertificateError, ValueError):
        faults.append(f"{OLD_UNTIL} is not a time such as 2030-01-31T12:00:00+00:00.")
        return None
    return until if until.tzinfo else until.replace(tzinfo=UTC)


def _part(data: Mapping[str, bytes], name: str) -> bytes:
    part = data.get(name, b"")
    if not part:
        raise CertificateError(f"{name} is missing or empty.")
    if len(part) > _LARGEST:
        raise CertificateError(f"{name} has more than {_LARGEST} bytes.")
    return part
