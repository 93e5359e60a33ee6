"""Which rule grants a permission that is missing, as a text for the person who grants it."""

from collections.abc import Callable

from webhook.cluster.collections import Collection

Advise = Callable[[str, Collection, str], str]
"""From a verb, a resource and a namespace ("" for all of them, or for the cluster) to `ROLE the rule RULE`."""


def general_advice(verb: str, resource: Collection, namespace: str) -> str:
    """The advice where the roles of the installation are not known."""
    role = f"vmguard's role in namespace {namespace}" if namespace else "vmguard's ClusterRole"
    return f'{role} the rule {{apiGroups: ["{resource.group}"], resources: ["{resource.plural}"], verbs: ["{verb}"]}}'
