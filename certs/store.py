"""The protocol of a store for certificates. A store never judges its contents; `ensure` and its users do."""

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
    """A server's leaf, and the authority's certificates with which its clients verify it."""

    authority_pem: bytes
    leaf: Leaf

    def why_unusable(self, *, now: datetime, names: Iterable[str]) -> CertificateFault | None:
        """Why clients would refuse it under one of these names; None if they would not. See `Leaf.why_unusable`."""
        return self.leaf.why_unusable(now=now, names=names, authority_pem=self.authority_pem)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the three texts of a store: its place, for people, and its bytes, None if it is missing."""

    where: str
    pem: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Contents:
    """All contents of a store at one time, not parsed."""

    authority: Part
    chain: Part
    key: Part

    @property
    def missing(self) -> tuple[str, ...]:
        """The places of missing texts."""
        return tuple(part.where for part in (self.authority, self.chain, self.key) if part.pem is None)

    @property
    def empty(self) -> bool:
        return self.authority.pem is None and self.chain.pem is None and self.key.pem is None

    def leaf(self) -> Leaf:
        """The server's certificate and its key, parsed; the authority's certificate may be missing.

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
        """The contents, parsed.

        The bundle may be expired or lack names. `Bundle.why_unusable` reports that, because old certificates must be
        readable, too.

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
    """A place for one bundle, shared by independent processes."""

    def contents(self) -> Contents:
        """The contents at one time, never a mixture of the contents before and after a save."""

    def load(self) -> Bundle:
        """The stored bundle, or the `CertificateError` of `Contents.bundle`."""

    def save(self, bundle: Bundle, *, replacing: Contents) -> bool:
        """Write the bundle if the contents are still `replacing`; otherwise change nothing and return False."""
