"""A report without names: each name that somebody chose is replaced by a hash of it, the same one everywhere. Pure."""

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec

from webhook.audit.report import AuditReport

_PLAIN = frozenset(
    {
        *("apiVersion", "component", "controller", "couldEnforce", "coverage", "createdAt", "id", "kind"),
        *("kubernetesVersion", "levelAfter", "levelNow", "op", "rule", "settings", "verdict", "vmguardVersion"),
    }
)
"""Fields of a report that hold no name."""

_LENGTH = 10


def redacted(report: AuditReport, names: Iterable[str]) -> AuditReport:
    """The report with every one of `names` replaced, wherever it stands as a word of its own."""
    chosen = sorted({name for name in names if name}, key=len, reverse=True)
    if not chosen:
        return report
    found = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, chosen))})(?![A-Za-z0-9])")
    builtins = _replaced(msgspec.to_builtins(report), lambda text: found.sub(lambda match: hashed(match[0]), text))
    return msgspec.convert(builtins, AuditReport)


def hashed(name: str) -> str:
    """The hash that replaces a name."""
    return f"x{sha256(name.encode()).hexdigest()[:_LENGTH]}"


def _replaced(value: Any, replace: Any) -> Any:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, list):
        return [_replaced(each, replace) for each in value]
    if isinstance(value, dict):
        return {key: each if key in _PLAIN else _replaced(each, replace) for key, each in value.items()}
    return value
