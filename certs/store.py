"""What a place for certificates holds and can do. It never says whether that is good; `ensure` and its users do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from certs.errors import CertificateError
from certs.leaf import Leaf
from certs.pem import certificates_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from certs.faults import CertificateFault


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a server needs to be trusted: its leaf, and the authority's certificates that its clients verify it with."""

    authority_pem: bytes
    leaf: Leaf

    def why_unusable(self, *, now: datetime, names: Iterable[str]) -> CertificateFault | None:
        """Why clients would refuse it under one of these names; None if they would not. See `Leaf.why_unusable`."""
        return self.leaf.why_unusable(now=now, names=names, authority_pem=self.authority_pem)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the three texts a store keeps: where it stands, for people, and its bytes, None if it is not there."""

    where: str
    pem: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Contents:
    """All a store holds at one moment, unread."""

    authority: Part
    chain: Part
    key: Part

    @property
    def missing(self) -> tuple[str, ...]:
        """Where there is nothing."""
        return tuple(part.where for part in (self.authority, self.chain, self.key) if part.pem is None)

    @property
    def empty(self) -> bool:
        return self.authority.pem is None and self.chain.pem is None and self.key.pem is None

    def leaf(self) -> Leaf:
        """The server's certificate and its key, read; the authority's certificate need not be there.

        Raises:
            CertificateError: one of the two is missing or cannot be read, or they are no pair.

        """
        if self.chain.pem is None or self.key.pem is None:
            missing = [part.where for part in (self.chain, self.key) if part.pem is None]
            raise CertificateError(
                f"Missing: {', '.join(missing)}. Needed are the server's certificate ({self.chain.where}) and its key "
                f"({self.key.where}). Put it there."
            )
        leaf = Leaf(self.chain.pem, self.key.pem, self.chain.where, self.key.where)
        if not leaf.key_matches:
            raise CertificateError(
                f"{self.key.where} is not the private key of the first certificate in {self.chain.where}. Both were "
                "left as they are: put the pair that belongs together there, the server's certificate first."
            )
        return leaf

    def bundle(self) -> Bundle:
        """The contents, read.

        It may be expired or lack names, which `Bundle.why_unusable` tells: old certificates must be readable too.

        Raises:
            CertificateError: a part is missing or cannot be read, or key and certificate are no pair.

        """
        if self.authority.pem is None or self.chain.pem is None or self.key.pem is None:
            raise CertificateError(
                f"Missing: {', '.join(self.missing)}. Needed are the authority's certificate ({self.authority.where}), "
                f"the server's certificate ({self.chain.where}) and its key ({self.key.where}). Put it there."
            )
        certificates_in(self.authority.pem, self.authority.where)
        return Bundle(self.authority.pem, self.leaf())


class Store(Protocol):
    """A place that keeps one bundle, shared by processes that know nothing of each other."""

    def contents(self) -> Contents:
        """What stood there at one moment, never a mixture of what stood there before and after a save."""

    def load(self) -> Bundle:
        """The bundle that stands there, or the `CertificateError` of `Contents.bundle`."""

    def save(self, bundle: Bundle, *, replacing: Contents) -> bool:
        """Put the bundle there if `replacing` still is what stands there; False, and nothing done, if it is not."""
