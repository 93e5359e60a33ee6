"""Why a certificate can no longer be used, as data. The caller decides what to do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FaultKind(enum.StrEnum):
    """The kind of a fault: few, fixed words, fit for a metric label."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    NAME_MISSING = "name missing"
    KEY_MISMATCH = "key does not match"
    NOT_SIGNED = "not signed by this authority"
    NEAR_EXPIRY = "near expiry"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class CertificateFault:
    """One fault of one certificate; `detail` is a sentence that describes it."""

    kind: FaultKind
    detail: str

    def __str__(self) -> str:
        return self.detail
