"""What the templates of the Helm chart read, made from vmguard's tables: webhook entries, roles, settings, alerts.

The names of a release are in these files as expressions such as `{{ .service }}`. Helm evaluates them (`tpl`).
"""

from collections.abc import Mapping
from typing import Any

from webhook.manifests import dashboard
from webhook.manifests.alerts import RUNBOOK, rule_groups
from webhook.manifests.installation import MODE
from webhook.manifests.roles import InstallationNames, cluster_role_without_ca, roles
from webhook.manifests.webhooks import Service, denying, staged
from webhook.settings import SETTINGS, Settings

NAMES = InstallationNames(
    namespace="{{ .namespace }}",
    account="{{ .account }}",
    service="{{ .service }}",
    configuration="{{ .configuration }}",
    lease="{{ .lease }}",
)
"""The names of a release, which `vmguard.names` in templates/_names.tpl has."""

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
    """The mutating and the validating entries of an installation that enforces.

    `trial` has by name what differs in audit mode, and `deny` what differs where every namespace enforces deny.
    `watched` is the expression that selects the namespaces of watchNamespaces, without the values.
    """
    target = Service(NAMES.namespace, NAMES.service)
    mutating, validating = (each["webhooks"] for each in staged(target, trial=False))
    trial: dict[str, dict[str, Any]] = {}
    for entries, mild in zip((mutating, validating), staged(target, trial=True), strict=True):
        for entry, other in zip(entries, mild["webhooks"], strict=True):
            trial[entry["name"]] = {field: other[field] for field in entry if entry[field] != other[field]}
    return {
        "mutating": mutating,
        "validating": validating,
        "trial": {name: each for name, each in trial.items() if each},
        "deny": {name: changed for changes in denying(target) for name, changed in changes.items()},
        "watched": _watched(target),
    }


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
    namespace of vmguard. The lists under `withCertManager` are for a vmguard that makes no certificate.
    """
    everywhere, narrowed = roles(NAMES), roles(NAMES, (WATCHED,))
    watching = [each for each in narrowed if each["metadata"]["namespace"] == WATCHED]
    own = [each for each in narrowed if each not in watching]
    reading = [cluster_role_without_ca(NAMES), *everywhere[1:]]
    return {
        "everywhere": list(everywhere),
        "watching": watching,
        "own": own,
        "withCertManager": {"everywhere": _without_ca(reading), "own": _without_ca(own)},
    }


def _without_ca(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects without the Role of the Secret and its binding."""
    return [
        each
        for each in objects
        if each["metadata"]["name"] != NAMES.service or each["kind"] not in {"Role", "RoleBinding"}
    ]


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


def dashboard_file() -> dict[str, Any]:
    """The dashboard: its file's name, and the JSON as text."""
    return {"name": dashboard.FILE, "text": dashboard.text()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
