"""The rotation of an authority as a pure state machine: the existing authorities, and the next step.

A rotation has three phases, so that clients trust a leaf before a server shows it:

1. vmguard makes the next authority. Clients trust it and the current one: the bundle for clients has both.
2. The bundle with both stays installed for `OVERLAP`, so that every client knows it.
3. The next authority becomes the current one, which signs. The certificate of the old one stays in the bundle until
   each leaf that it signed has expired.

The state is all that a process needs to continue the rotation of another process that died in any phase.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cryptography import x509

AUTHORITY_LIFETIME = timedelta(days=365)
LEAF_LIFETIME = timedelta(hours=24)

OVERLAP = timedelta(seconds=60)
"""How long the bundle with the next authority must be installed before that authority signs."""

RETIREMENT = LEAF_LIFETIME + timedelta(hours=2)
"""How long an old certificate stays in the bundle: a leaf's lifetime, and a difference between two clocks."""

SETTLED = 2 * OVERLAP
"""Time after which each server that reads the state shows a leaf of the next authority, once that one signs.

A server reads the state every few seconds, and changes when it has seen the bundle with both for `OVERLAP`.
"""

CONFIRMED = timedelta(hours=1)
"""How long the state must have been the same before an old certificate leaves the bundle, whatever the clock shows.

A wall clock that jumps forward must not remove a certificate that servers still need. Within this time each server
that reads the state has a leaf of the current authority.
"""

MOST_OLD = 8
"""Most old certificates in a bundle. With so many, no rotation begins while the current authority is valid.

So a bundle cannot grow for ever.
"""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The authorities at one time. `old_until` (UTC) is when the old certificates leave the bundle."""

    current: Authority | None = None
    next: Authority | None = None
    old: tuple[x509.Certificate, ...] = ()
    old_until: datetime | None = None

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """The certificates that clients must trust, the oldest first, each once."""
        signers = (each.certificate for each in (self.current, self.next) if each)
        return tuple(sorted({*self.old, *signers}, key=lambda each: (each.not_valid_before_utc, each.serial_number)))

    @property
    def bundle(self) -> bytes:
        """The trusted certificates, PEM. It stays the same, byte for byte, when the next authority begins to sign."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in self.trusted)


def step(
    rotation: Rotation,
    *,
    now: datetime,
    installed: timedelta | None,
    unchanged: timedelta,
    create: Callable[[], Authority],
) -> Rotation:
    """The next state; the same one if there is nothing to do.

    `now` is the wall clock. The other two are durations on this process's monotonic clock. `installed` is how long
    clients have had the bundle of `rotation`, None if they have not or that is unknown. `unchanged` is how long the
    state has been the same. `create` makes a new authority that is valid from now on.
    """
    if rotation.current is None or _expired(rotation.current, now):
        return _without_overlap(rotation, now, create)
    if rotation.next is not None:
        return _continue(rotation, rotation.next, now, installed, create)
    if rotation.old and rotation.old_until and now >= rotation.old_until and unchanged >= CONFIRMED:
        return replace(rotation, old=(), old_until=None)
    is_valid = rotation.current.valid_at(now)
    if not is_valid or (now >= rotation.current.renew_at and len(rotation.old) < MOST_OLD):
        return replace(rotation, next=create())
    if rotation.old and (rotation.old_until is None or rotation.old_until > now + RETIREMENT):
        return replace(rotation, old_until=now + RETIREMENT)  # a wrong clock wrote it
    return rotation


def heal(
    found: Rotation, known: Rotation, installed: Iterable[x509.Certificate], *, now: datetime, damaged: bool
) -> Rotation:
    """The state that was read, with its lost parts restored.

    `known` is the state that this process read before. `installed` are the certificates that clients trust now.
    `damaged` is whether a part of the state could not be read. If the current authority is lost, the known one replaces
    it. If anything is lost, clients go on trusting the installed certificates: servers may still show leaves of them.
    """
    if found.current is None:
        lost = {*known.old, *installed}
        found = replace(found, current=known.current, next=found.next or known.next)
    elif damaged:
        lost = {*known.trusted, *installed}
    else:
        lost = {known.current.certificate} if known.current else set()
    added = _ending_last(lost - {*found.trusted})[: max(0, MOST_OLD - len(found.old))]
    if not added:
        return found
    return replace(found, old=(*found.old, *added), old_until=now + RETIREMENT)


def _without_overlap(rotation: Rotation, now: datetime, create: Callable[[], Authority]) -> Rotation:
    """No authority can sign, so waiting for clients would only prolong that."""
    following = rotation.next
    current = following if following and following.valid_at(now) else create()
    if rotation.current is None:
        return replace(rotation, current=current, next=None)
    return _switched(rotation, rotation.current, current, now)


def _continue(
    rotation: Rotation,
    following: Authority,
    now: datetime,
    installed: timedelta | None,
    create: Callable[[], Authority],
) -> Rotation:
    if now >= following.renew_at or not following.valid_at(now):  # made with a wrong clock, or long ago
        return replace(rotation, next=create())
    if rotation.current is None or installed is None or installed < OVERLAP:
        return rotation
    return _switched(rotation, rotation.current, following, now)


def _switched(rotation: Rotation, before: Authority, current: Authority, now: datetime) -> Rotation:
    old = (*rotation.old, before.certificate)
    if len(old) > MOST_OLD:  # the rotation began with so many because no authority was valid
        old = _ending_last(old)[:MOST_OLD]
    return Rotation(current=current, old=old, old_until=now + RETIREMENT)


def _ending_last(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The certificates in the order of their ends, the last one first."""
    return tuple(sorted(certificates, key=lambda each: each.not_valid_after_utc, reverse=True))


def _expired(authority: Authority, now: datetime) -> bool:
    return now > authority.certificate.not_valid_after_utc
