"""What the templates of the Helm chart read, made from vmguard's tables: webhook entries, roles, settings, alerts.

The names of a release stand in these files as expressions such as `{{ .service }}`. Helm evaluates them (`tpl`).
"""

from collections.abc import Mapping
from typing import Any

from webhook.manifests.alerts import RUNBOOK, rule_groups
from webhook.manifests.installation import MODE
from webhook.manifests.roles import InstallationNames, roles
from webhook.manifests.webhooks import Service, staged
from webhook.settings import SETTINGS, Settings

NAMES = InstallationNames(
    namespace="{{ .namespace }}",
    account="{{ .account }}",
    service="{{ .service }}",
    configuration="{{ .configuration }}",
    lease="{{ .lease }}",
)
"""The names of a release, which `vmguard.names` in templates/_helpers.tpl has."""

WATCHED = "{{ .watched }}"
"""One of the namespaces of the value watchNamespaces."""

VALUES: Mapping[str, str] = {
    "mode": "mode",
    "enforce": "enforce",
    "unknown": "unknown",
    "strictSecurity": "strict_security",
    "disableAutomount": "disable_automount",
    "hardenSidecars": "harden_sidecars",
    "runAs": "run_as",
}
"""The values of the chart that are settings of vmguard, with the field of `Settings`."""


def webhook_entries() -> dict[str, Any]:
    """The entries of both configurations.

    `usual` has those of an installation that enforces, and `deny` those of one where every namespace enforces deny.
    `trial` has by name what differs in audit mode. `watched` is the expression that selects the namespaces of
    watchNamespaces, without the values.
    """
    target = Service(NAMES.namespace, NAMES.service)
    tables: dict[str, dict[str, list[dict[str, Any]]]] = {}
    trial: dict[str, dict[str, Any]] = {}
    for table, enforce_deny in (("usual", False), ("deny", True)):
        enforcing = staged(target, trial=False, enforce_deny=enforce_deny)
        tables[table] = dict(zip(("mutating", "validating"), (each["webhooks"] for each in enforcing), strict=True))
        for strict, mild in zip(enforcing, staged(target, trial=True, enforce_deny=enforce_deny), strict=True):
            for entry, other in zip(strict["webhooks"], mild["webhooks"], strict=True):
                trial[entry["name"]] = {field: other[field] for field in entry if entry[field] != other[field]}
    return {**tables, "trial": {name: each for name, each in trial.items() if each}, "watched": _watched(target)}


def _watched(target: Service) -> dict[str, Any]:
    """What `watched` adds to the selector of an entry."""
    without, narrowed = (
        staged(target, trial=True, watched=names)[0]["webhooks"][0]["namespaceSelector"]["matchExpressions"]
        for names in ((), (WATCHED,))
    )
    (added,) = (each for each in narrowed if each not in without)
    return {key: part for key, part in added.items() if key != "values"}


def role_objects() -> dict[str, Any]:
    """The roles with their bindings.

    `everywhere` is for all namespaces. With watchNamespaces it is `watching` once for each of them, and `own` in the
    namespace of vmguard.
    """
    narrowed = roles(NAMES, (WATCHED,))
    places = [each["metadata"]["namespace"] for each in narrowed]
    return {
        "everywhere": list(roles(NAMES)),
        "watching": [each for each, place in zip(narrowed, places, strict=True) if place == WATCHED],
        "own": [each for each, place in zip(narrowed, places, strict=True) if place != WATCHED],
    }


def setting_variables() -> dict[str, Any]:
    """For each value that is a setting, in the order of the container's environment: the variable and its default.

    The chart leaves out a variable that has its default. The mode has none here: the container always has it.
    """
    return {
        "settings": [
            {"value": value, "variable": name, "default": "" if name == MODE else _text(getattr(Settings(), field))}
            for value, field in VALUES.items()
            for name in (SETTINGS[field].name,)
        ]
    }


def alert_groups() -> dict[str, Any]:
    """The groups of the alerts, and the address of their runbook, which the value rules.runbookUrl replaces."""
    return {"runbook": RUNBOOK, "groups": rule_groups()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
