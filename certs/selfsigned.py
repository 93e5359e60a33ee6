"""Makes a self-signed bundle if there is no usable one. It never replaces a bundle that it has not made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from certs.authority import BACKDATE, Authority, authority_name
from certs.errors import CertificateError
from certs.faults import CertificateFault, FaultKind
from certs.leaf import Leaf
from certs.names import subject_names
from certs.pem import certificates_in
from certs.store import Bundle, Contents, Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509

AUTHORITY = "vmguard self-signed authority"
"""The common name of the authorities that `ensure` makes; it recognises them by this name."""

LIFETIME = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Created:
    """There was no bundle; now there is a bundle that is valid until `not_after`, UTC."""

    not_after: datetime


@dataclass(frozen=True, slots=True)
class Reused:
    """The existing bundle is usable until `not_after`, UTC."""

    not_after: datetime


@dataclass(frozen=True, slots=True)
class Replaced:
    """The existing bundle was not usable; a new one replaced it and is valid until `not_after`, UTC.

    Clients need the new authority: they do not trust it yet.
    """

    reason: CertificateFault
    not_after: datetime


Event: TypeAlias = Created | Reused | Replaced


def ensure(
    store: Store, names: Sequence[str], *, now: datetime, lifetime: timedelta = LIFETIME, authority: str = AUTHORITY
) -> tuple[Bundle, tuple[Event, ...]]:
    """The store's bundle; a new one if it is missing, incomplete, expired, near its end or without one of the names.

    Near its end means that less than a third of its lifetime is left. Each new leaf has a new authority. The key of
    this authority is dropped after it has signed. So no key on the disk can sign. A thief of the files can pass for
    this server, but for no other.

    Processes that start together with the same names all get the same bundle.

    Raises:
        CertificateError: the existing bundle is not usable, and no authority with this name issued it, or it cannot be
            read. It does not change then. Also: a name is not valid, or the store cannot be written.

    """
    subject_names(names)  # every start reports a wrong name, not only a start that makes a bundle
    ours = authority_name(authority)
    while True:
        contents = store.contents()
        reason = None if contents.empty else _why_replace(contents, names, now, ours)
        if reason is None and not contents.empty:
            bundle = contents.bundle()
            return bundle, (Reused(bundle.leaf.not_after),)
        bundle = _make(authority, names, now, lifetime)
        if store.save(bundle, replacing=contents):
            end = bundle.leaf.not_after
            return bundle, (Created(end) if reason is None else Replaced(reason, end),)
        # Another process saved first. Its bundle is judged like any other.


def _make(authority: str, names: Sequence[str], now: datetime, lifetime: timedelta) -> Bundle:
    root = Authority.create(authority, now=now, lifetime=lifetime)
    return Bundle(root.certificate_pem, root.issue(names, now=now, lifetime=lifetime))


def _why_replace(contents: Contents, names: Sequence[str], now: datetime, ours: x509.Name) -> CertificateFault | None:
    """Why the contents are not usable, None if they are; an error if they are not and may not be replaced."""
    if contents.missing:
        reason = CertificateFault(FaultKind.INCOMPLETE, f"there is no {', '.join(contents.missing)}")
    else:
        bundle = contents.bundle()
        # Other owners renew their certificates themselves, so only unusable ones are reported.
        unusable = bundle.why_unusable(now=now, names=names)
        if unusable is None and _foreign(contents, ours) is None:
            unusable = _near_expiry(bundle.leaf, now)
        if unusable is None:
            return None
        reason = unusable
    if foreign := _foreign(contents, ours):
        raise CertificateError(
            f"{foreign}, so nothing was changed; but it cannot be used: {reason}. Put certificates that can be used "
            f"there, or move {contents.authority.where}, {contents.chain.where} and {contents.key.where} away to "
            "have new ones made."
        )
    return reason


def _near_expiry(leaf: Leaf, now: datetime) -> CertificateFault | None:
    lifetime = leaf.not_after - leaf.not_before - BACKDATE
    left = leaf.not_after - now
    if left >= lifetime / 3:
        return None
    return CertificateFault(
        FaultKind.NEAR_EXPIRY, f"it expires at {leaf.not_after.isoformat()}, less than a third of its life ahead"
    )


def _foreign(contents: Contents, ours: x509.Name) -> str | None:
    """The part of the contents that this module has not made, as the beginning of a sentence; None for no part."""
    for part in (contents.authority, contents.chain):
        for certificate in () if part.pem is None else certificates_in(part.pem, part.where):
            if certificate.issuer != ours:
                issuer, own = certificate.issuer.rfc4514_string(), ours.rfc4514_string()
                return f"{part.where} was issued by {issuer!r}, not by {own!r}"
    if contents.key.pem is None:
        return None
    # A key has no name. It is from this module if it belongs to its certificate, and it is never without one.
    if contents.chain.pem is None:
        return f"{contents.key.where} may be anyone's, as there is no {contents.chain.where} that goes with it"
    if not Leaf(contents.chain.pem, contents.key.pem, contents.chain.where, contents.key.where).key_matches:
        return f"{contents.key.where} is not the key of {contents.chain.where}"
    return None
