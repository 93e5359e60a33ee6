"""Which leaf a server shows, decided from what its clients trust. It never waits and never reads a clock.

Clients learn late of a new authority. So a server goes on showing a leaf that they trust until they have had time to
learn of the authority that signs now.
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

    What is not known counts as not trusted.
    """

    _since: dict[x509.Certificate, float] = field(default_factory=dict)

    def observe(
        self, bundles: Iterable[Collection[x509.Certificate]], concerned: Iterable[x509.Certificate], *, at: float
    ) -> None:
        """Take in the bundles that clients have at a moment; each must have a certificate that they trust.

        Of certificates that are not `concerned` nothing is remembered.
        """
        found = tuple(bundles)
        self._since = {each: self._since.get(each, at) for each in concerned if all(each in bundle for bundle in found)}

    def forget(self) -> None:
        """The bundles cannot be read."""
        self._since = {}

    def lasting(self, certificates: Iterable[x509.Certificate], *, at: float) -> timedelta | None:
        """For how long all of these have been trusted; None where one is not."""
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
        """When another leaf should take its place: after two thirds of its lifetime."""
        return renewal(self.leaf.not_before, self.leaf.not_after)


def next_leaf(
    shown: Issued | None, rotation: Rotation, installed: Installed, *, name: str, now: datetime, at: float
) -> Issued | None:
    """The leaf to show from now on: the one that is shown where there is no reason for another one, None for none.

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
