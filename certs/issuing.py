"""Chooses the leaf that a server shows, by the certificates that its clients trust. It never waits or reads a clock.

Clients learn of a new authority with a delay. So a server shows a leaf that they trust until they have had time to
learn of the current authority.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from certs.authority import renewal
from certs.leaf import Leaf
from certs.rotation import LEAF_LIFETIME, OVERLAP, Rotation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


@dataclass(slots=True)
class Installed:
    """For how long clients have trusted each certificate, by a monotonic clock in seconds.

    An unknown certificate counts as not trusted.
    """

    _since: dict[x509.Certificate, float] = field(default_factory=dict)

    def observe(
        self, bundles: Iterable[Collection[x509.Certificate]], concerned: Iterable[x509.Certificate], *, at: float
    ) -> None:
        """Record the bundles that clients have at a given time; they trust a certificate if every bundle has it.

        Nothing is stored of certificates that are not `concerned`.
        """
        found = tuple(bundles)
        self._since = {each: self._since.get(each, at) for each in concerned if all(each in bundle for bundle in found)}

    def forget(self) -> None:
        """The bundles cannot be read."""
        self._since = {}

    def lasting(self, certificates: Iterable[x509.Certificate], *, at: float) -> timedelta | None:
        """For how long all of these have been trusted; None if one is not."""
        since = [self._since.get(each) for each in certificates]
        known = [each for each in since if each is not None]
        if not known or len(known) < len(since):
            return None
        return timedelta(seconds=at - max(known))


@dataclass(frozen=True, slots=True)
class Issued:
    """A leaf, and the certificate of the authority that signed it."""

    leaf: Leaf
    signer: x509.Certificate

    @property
    def renew_at(self) -> datetime:
        """When another leaf should replace it: after two thirds of its lifetime."""
        return renewal(self.leaf.not_before, self.leaf.not_after)


def next_leaf(
    shown: Issued | None, rotation: Rotation, installed: Installed, *, name: str, now: datetime, at: float
) -> Issued | None:
    """The leaf to show from now on: the current one if there is no reason for another one, None for none.

    `now` is the wall clock, `at` the monotonic clock of `installed`.
    """
    current = rotation.current
    if current is None or not current.valid_at(now):
        return shown
    if shown is not None and shown.leaf.untimely(now=now) is None:
        if shown.signer == current.certificate:
            if now < shown.renew_at:
                return shown
        elif installed.lasting([shown.signer], at=at) is not None:
            lasting = installed.lasting([current.certificate], at=at)
            if lasting is None or lasting < OVERLAP:
                return shown
    return Issued(current.issue([name], now=now, lifetime=LEAF_LIFETIME), current.certificate)
