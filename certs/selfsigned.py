"""A self-signed bundle that is made when there is none that will do. It never replaces what it has not made."""

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
"""The common name of the authorities `ensure` makes, by which it knows them again."""

LIFETIME = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Created:
    """There was nothing; now there is a bundle that is valid until `not_after`, UTC."""

    not_after: datetime


@dataclass(frozen=True, slots=True)
class Reused:
    """What stood there will do, until `not_after`, UTC."""

    not_after: datetime


@dataclass(frozen=True, slots=True)
class Replaced:
    """What stood there would not do; a new bundle took its place and is valid until `not_after`, UTC.

    Clients must be given the new authority: they do not trust it yet.
    """

    reason: CertificateFault
    not_after: datetime


Event: TypeAlias = Created | Reused | Replaced


def ensure(
    store: Store, names: Sequence[str], *, now: datetime, lifetime: timedelta = LIFETIME, authority: str = AUTHORITY
) -> tuple[Bundle, tuple[Event, ...]]:
    """The store's bundle, made anew if it is missing, incomplete, expired, near its end or without one of the names.

    Near its end is less than a third of its lifetime. A new leaf comes with a new authority each time, whose key is
    forgotten once it has signed: so nothing on a disk can sign, and who reads it can be this server, but no other.

    Processes that start together all get the one bundle that stays, if they ask for the same names.

    Raises:
        CertificateError: what stands there will not do and was not issued by an authority of this name, or cannot be
            read at all. It is left as it is. Also: a name can be none, or the store cannot be written.

    """
    subject_names(names)  # a mistake in them is told at every start, not only when something must be made
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
        # Another process saved first. What it left is judged like anything else that stands there.


def _make(authority: str, names: Sequence[str], now: datetime, lifetime: timedelta) -> Bundle:
    root = Authority.create(authority, now=now, lifetime=lifetime)
    return Bundle(root.certificate_pem, root.issue(names, now=now, lifetime=lifetime))


def _why_replace(contents: Contents, names: Sequence[str], now: datetime, ours: x509.Name) -> CertificateFault | None:
    """Why the contents will not do, None if they will; an error if they will not and are not ours to replace."""
    if contents.missing:
        reason = CertificateFault(FaultKind.INCOMPLETE, f"there is no {', '.join(contents.missing)}")
    else:
        bundle = contents.bundle()
        # Others renew their certificates when they see fit; only what is unusable is told of those.
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
    """What of the contents we have not made, as the beginning of a sentence; None if all of it is ours."""
    for part in (contents.authority, contents.chain):
        for certificate in () if part.pem is None else certificates_in(part.pem, part.where):
            if certificate.issuer != ours:
                issuer, own = certificate.issuer.rfc4514_string(), ours.rfc4514_string()
                return f"{part.where} was issued by {issuer!r}, not by {own!r}"
    if contents.key.pem is None:
        return None
    # A key bears no name. It is ours if our certificate was made for it, and we never leave one without.
    if contents.chain.pem is None:
        return f"{contents.key.where} may be anyone's, as there is no {contents.chain.where} that goes with it"
    if not Leaf(contents.chain.pem, contents.key.pem, contents.chain.where, contents.key.where).key_matches:
        return f"{contents.key.where} is not the key of {contents.chain.where}"
    return None
