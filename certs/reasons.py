"""Why a certificate cannot go on being used, as data. It never decides what is done about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Fault(enum.StrEnum):
    """The kind of a reason: few, fixed words, fit for a metric label."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    NAME_MISSING = "name missing"
    KEY_MISMATCH = "key does not match"
    NOT_SIGNED = "not signed by this authority"
    NEAR_EXPIRY = "near expiry"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Reason:
    """A fault, and the sentence that says it for this certificate."""

    fault: Fault
    detail: str

    def __str__(self) -> str:
        return self.detail
