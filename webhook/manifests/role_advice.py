"""Which role of an installation lacks a permission, the rule that its table has, and the command that adds it.

The installation's role has one rule for a resource, with all its verbs. So the advice names them all: a person who adds
one verb after the other would meet the next message an hour later.
"""

import json
from collections.abc import Iterator
from typing import Any

from webhook.cluster.advice import Advise, general_advice
from webhook.cluster.collections import Collection
from webhook.manifests.roles import InstallationNames, cluster_role_without_ca, default_policy_roles, roles
from webhook.settings import Settings

_FEW = 2
"""Rules of a role that a command writes together."""


def advice(settings: Settings, namespace: str, *, makes_certificates: bool) -> Advise:
    """The advice for the installation with these settings in a namespace.

    `makes_certificates` is whether vmguard makes its certificates, and so may write CA bundles.
    """
    names = InstallationNames(
        namespace=namespace,
        service=settings.service,
        configuration=settings.webhook_configuration,
        lease=settings.lease,
    )
    made = list(roles(names, settings.watch_namespaces))
    if not settings.watch_namespaces and not makes_certificates:
        made[0] = cluster_role_without_ca(names)
    if settings.psp_autocreate:
        made += default_policy_roles(names)

    def advise(verb: str, resource: Collection, where: str) -> str:
        return next(_rules(made, verb, resource, where), "") or general_advice(verb, resource, where)

    return advise


def _rules(made: list[dict[str, Any]], verb: str, resource: Collection, where: str) -> Iterator[str]:
    """The texts for the rules that grant a verb on a resource in a namespace."""
    for role in made:
        place = role["metadata"].get("namespace", "")
        for rule in role.get("rules", ()) if place in {"", where} else ():
            grants = resource.group in rule["apiGroups"] and resource.plural in rule["resources"]
            if grants and verb in rule["verbs"]:
                yield _text(role, {**rule, "resources": [resource.plural]})


def _text(role: dict[str, Any], rule: dict[str, Any]) -> str:
    kind, name, namespace = role["kind"], role["metadata"]["name"], role["metadata"].get("namespace", "")
    fields = ", ".join(f"{field}: {json.dumps(values)}" for field, values in rule.items())
    place = f"{kind} {name} in namespace {namespace}" if namespace else f"{kind} {name}"
    target = f"{kind.lower()} {name}{f' --namespace {namespace}' if namespace else ''}"
    binding = f"restore its {kind}Binding if the role has this rule"
    return f"{place} the rule {{{fields}}}, or {binding}: kubectl patch {target} {_patch(role['rules'], rule)}"


def _patch(rules: list[dict[str, Any]], rule: dict[str, Any]) -> str:
    """A JSON Patch adds the rule, but not to a role that has no rules at all: a small role gets all its rules."""
    if len(rules) <= _FEW:
        return f"--type merge --patch '{_json({'rules': rules})}'"
    return f"--type json --patch '{_json([{'op': 'add', 'path': '/rules/-', 'value': rule}])}'"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
