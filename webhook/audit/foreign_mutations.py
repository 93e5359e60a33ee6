"""What changes new pods beside vmguard: mutating webhooks and policies of others. What they change is not known. Pure.

The API server calls them in no fixed order, so a pod may be changed before or after vmguard sees it. The conditions in
CEL of a webhook or policy are not evaluated: it counts as called.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from webhook.audit.selectors import Labels, matches
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.text import one_line

WEBHOOKS = "MutatingWebhookConfiguration"
POLICY = "MutatingAdmissionPolicy"
BINDING = "MutatingAdmissionPolicyBinding"
KINDS = (WEBHOOKS, POLICY, BINDING)
"""The kinds of objects that say what changes pods."""

_OWN_NAME = ".vmguard.io"
_OWN_PATH = re.compile(r"/mutate(/|$)")
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_LONGEST = 120
_MOST = 3


class ForeignMutations:
    """The webhooks and policies of a cluster that may change a pod at its creation, without vmguard's own."""

    def __init__(self, objects: Iterable[Raw]) -> None:
        listed = list(objects)
        policies = {_name(each): object_of(each.get("spec")) for each in listed if each.get("kind") == POLICY}
        self._called: list[tuple[str, tuple[Raw, ...]]] = []
        for each in listed:
            if each.get("kind") == BINDING:
                self._called += _bound(object_of(each.get("spec")), policies)
            elif each.get("kind") != POLICY:
                self._called += _entries(each)

    def of_pod(self, namespace: str, namespace_labels: Labels | None, labels: Labels | None) -> str:
        """The names of those that are or may be called for a pod, "" for none.

        Labels that are None are not known; then every selector of them may match.
        """
        where = None if namespace_labels is None else {_NAMESPACE_NAME: namespace, **namespace_labels}
        called = dict.fromkeys(
            name for name, chosen in self._called if all(_selects(each, where, labels) for each in chosen)
        )
        more = f" and {len(called) - _MOST} more" if len(called) > _MOST else ""
        return ", ".join(list(called)[:_MOST]) + more


def _selects(chosen: Raw, where: Labels | None, labels: Labels | None) -> bool:
    return (where is None or matches(chosen.get("namespaceSelector"), where)) and (
        labels is None or matches(chosen.get("objectSelector"), labels)
    )


def _name(thing: Raw) -> str:
    return str(object_of(thing.get("metadata")).get("name") or "")


def _entries(configuration: Raw) -> Iterator[tuple[str, tuple[Raw, ...]]]:
    """The entries of a configuration of webhooks that are called for pods: name, and what selects the pods."""
    for entry in objects_of(configuration.get("webhooks")):
        name = str(entry.get("name") or "")
        if not _is_own(name, entry) and any(map(_is_for_pods, objects_of(entry.get("rules")))):
            yield one_line(name, _LONGEST), (entry,)


def _bound(binding: Raw, policies: dict[str, Raw]) -> Iterator[tuple[str, tuple[Raw, ...]]]:
    """The policy of a binding where it acts on pods. The resources of both must match, as both selectors must."""
    name = str(binding.get("policyName") or "")
    if name not in policies:
        return
    chosen = (object_of(policies[name].get("matchConstraints")), object_of(binding.get("matchResources")))
    rules = [objects_of(each.get("resourceRules")) for each in chosen]
    # A policy needs rules. A binding without rules takes those of its policy.
    if any(map(_is_for_pods, rules[0])) and (not rules[1] or any(map(_is_for_pods, rules[1]))):
        excluded = (rule for each in chosen for rule in objects_of(each.get("excludeResourceRules")))
        if not any(_is_for_pods(rule) and not rule.get("resourceNames") for rule in excluded):
            yield f"policy {one_line(name, _LONGEST)}", chosen


def _is_own(name: str, entry: Raw) -> bool:
    path = object_of(object_of(entry.get("clientConfig")).get("service")).get("path")
    return name.endswith(_OWN_NAME) and bool(_OWN_PATH.match(str(path or "")))


def _is_for_pods(rule: Raw) -> bool:
    return (
        _has(rule.get("apiGroups"), "", "*")
        and _has(rule.get("operations"), "CREATE", "*")
        and _has(rule.get("resources"), "pods", "pods/*", "*", "*/*")
        and rule.get("scope") != "Cluster"
    )


def _has(found: Any, *values: str) -> bool:
    return isinstance(found, list) and any(value in found for value in values)
