"""The rules of a namespace: whether the API server calls vmguard for it, and whether vmguard enforces and denies there.

Labels may make VMGUARD_ENFORCE stricter for the namespace's own pods. A label never weakens the setting, and of two
labels the stricter counts. A value that is not a level counts as deny and is reported: a typing error must not turn
enforcement off. Pure.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from webhook.settings import Settings
from webhook.text import one_line

Enforce = Literal["off", "warn", "deny"]

LEVELS: tuple[Enforce, ...] = ("off", "warn", "deny")
"""All levels, the weakest first."""

_LEVEL: Mapping[str, Enforce] = {level: level for level in LEVELS}

LABEL = "vmguard.io/enforce"
"""The namespace label; its value is a level."""

OLD_LABEL = "vmguard/enforce"
"""The former name of the label, which still counts."""

LABELS = (LABEL, OLD_LABEL)

EXEMPT = "vmguard.io/exempt"
"""The namespace label that takes a namespace out of every entry of the webhook configurations."""

EXEMPT_VALUE = "true"
"""The only value that exempts: a typing error must not."""

EXCLUDED = "kube-system"
"""The namespace that no entry for pods selects: pods that a cluster needs to start never wait for vmguard."""

MODE_LABEL = "vmguard.io/mode"
"""The namespace label that enforces one namespace while VMGUARD_MODE is audit."""

MODE_VALUE = "enforce"
"""The only value of that label that counts: with any other one, the setting counts."""

Mode = Literal["enforce", "audit"]

Coverage = Literal["enforced", "trial", "exempt", "excluded"]
"""What vmguard does with new pods of a namespace: fill and deny, report only, or nothing."""

NOT_CALLED: Mapping[Coverage, str] = {
    "exempt": f"its label {EXEMPT}={EXEMPT_VALUE} exempts it",
    "excluded": "no entry for pods selects it",
}
"""Why the API server calls vmguard for no pod of a namespace."""

_LONGEST = 100
"""Most characters of a value in a message."""


def coverage(mode: Mode, namespace: str, labels: Mapping[str, str | None]) -> Coverage:
    """The coverage of a namespace with these labels; `mode` is VMGUARD_MODE.

    It is right for the entries of `deploy/`. Those of `vmguard manifests webhooks` do not read the label of the mode.
    """
    if namespace == EXCLUDED:
        return "excluded"
    if labels.get(EXEMPT) == EXEMPT_VALUE:
        return "exempt"
    return "enforced" if mode == "enforce" or labels.get(MODE_LABEL) == MODE_VALUE else "trial"


def in_namespace(settings: Settings, namespace: str, labels: Mapping[str, str | None]) -> tuple[Coverage, Settings]:
    """The coverage of a namespace with these labels, and the settings that count there."""
    where = coverage(settings.mode, namespace, labels)
    return where, replace(settings, mode="enforce") if where == "enforced" else settings


def enforced_in(setting: Enforce, labels: Mapping[str, str | None]) -> Enforce:
    """The level in a namespace with these labels; `setting` is VMGUARD_ENFORCE."""
    levels = [_LEVEL.get(labels[label] or "", "deny") for label in LABELS if label in labels]
    return max([setting, *levels], key=LEVELS.index)


_ONE_VALUE = {MODE_LABEL: (MODE_VALUE,), EXEMPT: (EXEMPT_VALUE, "false")}
"""The labels with one effective value, the first; other values that are no typing errors follow it."""


def not_allowed(labels: Mapping[str, str | None]) -> str:
    """One line on all labels of a namespace with a value that vmguard does not know, "" for none."""
    return "; ".join(filter(None, (unknown_values(labels), without_effect(labels))))


def without_effect(labels: Mapping[str, str | None]) -> str:
    """One line on the labels with a value that has no effect, "" for none."""
    return "; ".join(
        f"the namespace label {label}={one_line(labels[label] or '', _LONGEST)} has no effect: "
        f"the only allowed value is {allowed[0]}"
        for label, allowed in _ONE_VALUE.items()
        if label in labels and labels[label] not in allowed
    )


def unknown_values(labels: Mapping[str, str | None]) -> str:
    """One line on the labels with a value that is not a level, "" for none."""
    values = {label: labels[label] or "" for label in LABELS if label in labels}
    unknown = [f"{label}={one_line(value, _LONGEST)}" for label, value in values.items() if value not in _LEVEL]
    if not unknown:
        return ""
    return f"the namespace label {' and '.join(unknown)} counts as deny: allowed are {', '.join(LEVELS)}"
