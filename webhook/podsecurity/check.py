"""The types of a Pod Security check, and the wording its findings share.

A check is data: an id, the level it belongs to, and one rule per Kubernetes minor at which the standard changed. A
rule takes a pod and answers None or what it forbids. `reason` and `detail` are output of the Kubernetes API, equal to
what the API server's own PodSecurity admission warns with. Nothing here reads a pod or knows a single check.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum

from webhook.podsecurity.pod_view import PodView

OLDEST = 20
"""The oldest 1.x minor with rules of its own; a rule that is older than that stands under this number."""


class Level(IntEnum):
    """A level of the standard; a greater one is stricter."""

    PRIVILEGED = 0
    BASELINE = 1
    RESTRICTED = 2

    def __str__(self) -> str:
        """The level as namespace labels spell it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Forbidden:
    """What a rule found: `reason` names the matter, `detail` says where."""

    reason: str
    detail: str


CheckFunction = Callable[[PodView], Forbidden | None]


@dataclass(frozen=True, slots=True)
class Check:
    """A check of the standard.

    `versions` are (minimum minor, rule) from old to new; the newest that is not too new applies. `overrides` names the
    baseline checks that are left out when this one, of the restricted level, runs: it asks for more than they do.
    """

    id: str
    level: Level
    versions: tuple[tuple[int, CheckFunction], ...]
    overrides: tuple[str, ...] = ()

    def rule(self, minor: int) -> CheckFunction | None:
        """The rule of that minor, None before there was one."""
        return next((rule for minimum, rule in reversed(self.versions) if minimum <= minor), None)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a pod is not restricted.

    `level` is the lowest level out of reach because of it: baseline if the baseline check that `check` overrides fails
    as well. `str()` is how the API server's warning words it.
    """

    check: str
    level: Level
    reason: str
    detail: str

    def __str__(self) -> str:
        """The reason with its detail in brackets."""
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """The best level a pod reaches and why it is not restricted, in the API server's order."""

    level: Level
    reasons: tuple[Reason, ...]


def noun(word: str, count: int) -> str:
    """The word in the number that count asks for."""
    return word if count == 1 else f"{word}s"


def quoted(items: Collection[str]) -> str:
    """Every item in quotes, with nothing in it escaped, as the API server does."""
    return ", ".join(f'"{item}"' for item in items)


def listed(word: str, items: Collection[str]) -> str:
    """The items after the word that says what they are: `containers "a", "b"`."""
    return f"{noun(word, len(items))} {quoted(items)}"


def setters(names: Collection[str], *, pod: bool) -> str:
    """Who sets a field: `pod and container "a"`, "" if it is not set."""
    parts = (["pod"] if pod else []) + ([listed("container", names)] if names else [])
    return " and ".join(parts)
