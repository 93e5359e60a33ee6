"""What the entries of the installed webhook configurations leave out, compared with the entries of the manifests.

It compares entries of the same name. It reports a difference only if the API server calls vmguard for fewer objects, or
admits objects without its answer. It does not report what an administrator may choose:

- `failurePolicy: Ignore` in a trial.
- `timeoutSeconds`: with `Fail` a shorter time lets no pod pass, and `Ignore` is reported anyway.
- A selector condition that all entries have, such as one from an overlay or from the chart's values. A condition on one
  of vmguard's own labels is always reported.
- Stricter entries: one more rule, one condition less in a selector, `Fail` where the manifests have `Ignore`.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import product
from typing import Any

import msgspec

from webhook.cluster.webhook_entries import EntryScope, LabelSelector, WebhookEntry
from webhook.manifests.webhooks import MATCH_CONDITIONS, Service, configurations, denying, staged
from webhook.policy.enforcement import EXEMPT, LABELS, MODE_LABEL

_MOST = 5
_OURS = (*LABELS, EXEMPT, MODE_LABEL)
"""vmguard's own labels of namespaces."""

_IN_FORCE = "-in-force."

LabelRequirement = tuple[str, str, frozenset[str]]
"""One condition of a selector: key, operator and values."""

FoundEntries = Mapping[str, tuple[WebhookEntry, ...]]
"""The entries of each configuration that was found, by its kind."""


WeakerEntries = dict[str, dict[str, tuple[str, ...]]]
"""Sentences by the kind of the configuration, then by the name of the weaker entry. Only compared kinds are in it."""


def weaker(found: FoundEntries, *, name: str, trial: bool | None) -> tuple[str, ...]:
    """The sentences of `weaker_entries`, () for none."""
    return tuple(
        sentence
        for entries in weaker_entries(found, name=name, trial=trial).values()
        for sentences in entries.values()
        for sentence in sentences
    )


def weaker_entries(found: FoundEntries, *, name: str, trial: bool | None) -> WeakerEntries:
    """A sentence for each way in which the entries of the configurations `name` are weaker.

    A configuration without an entry that the manifests know is not compared. `trial` is whether VMGUARD_MODE is audit,
    None if that is not known: then it is a trial if all entries that a trial changes have `Ignore`.
    """
    known = {kind: _form(kind, entries) for kind, entries in found.items()}
    compared = [
        (kind, entry, known[kind][entry.name])
        for kind, entries in found.items()
        for entry in entries
        if entry.name in known[kind]
    ]
    shared = _shared([entry.scope for _, entry, _ in compared])
    changed = [entry for _, entry, forms in compared if _changes_in_trial(entry.name, forms)]
    is_trial = all(each.scope.failure_policy == "Ignore" for each in changed) if trial is None else trial
    result: WeakerEntries = {kind: {} for kind in found if known[kind]}
    for kind, entry, forms in compared:
        sentences = tuple(
            f"{field} of the entry {entry.name} of {kind} {name} {text}"
            for field, text in _differences(kind, entry, forms, shared, is_trial=is_trial)
        )
        if sentences:
            result[kind][entry.name] = sentences
    for kind, entries in result.items():
        for each in _missing(known[kind], found[kind]):
            entries[each] = (f"{kind} {name} has no entry {each}: the API server does not call vmguard for its pods",)
    return result


EntryForm = dict[str, list[dict[str, Any]]]
"""The ways in which the manifests make an entry, by its name."""


@lru_cache(2)
def _forms(which: int) -> tuple[EntryForm, ...]:
    """Those of an installation and of `vmguard manifests webhooks`: the mutating (0) or the validating (1) entries."""
    target = Service()
    installed: EntryForm = {}
    for trial in (False, True):
        for each in staged(target, trial=trial)[which]["webhooks"]:
            changes = denying(target)[which].get(each["name"])
            installed.setdefault(each["name"], []).extend([each, {**each, **changes}] if changes else [each])
    printed = (configurations(target, enforce_deny=deny)[which]["webhooks"] for deny in (False, True))
    return (installed, *({each["name"]: [each] for each in entries} for entries in printed))


def _form(kind: str, entries: Iterable[WebhookEntry]) -> EntryForm:
    """The smallest form that has all these entries, as far as any form has them."""
    forms = _forms(0 if kind.startswith("Mutating") else 1)
    names = {entry.name for entry in entries} & forms[0].keys()
    return min((form for form in forms if names <= form.keys()), key=len) if names else {}


def _missing(form: EntryForm, entries: Iterable[WebhookEntry]) -> Iterator[str]:
    """The entries for pods that are not there, of those that can deny."""
    names = {entry.name for entry in entries}
    for name, made in form.items():
        if name not in names and _is_for_pods(made[0]) and made[0]["failurePolicy"] == "Fail":
            yield name


def _changes_in_trial(name: str, made: list[dict[str, Any]]) -> bool:
    return _IN_FORCE not in name and made[0]["failurePolicy"] == "Fail"


def _is_for_pods(made: dict[str, Any]) -> bool:
    return bool(made["rules"][0]["resources"] == ["pods"])


def _differences(
    kind: str, entry: WebhookEntry, made: list[dict[str, Any]], shared: frozenset[LabelRequirement], *, is_trial: bool
) -> Iterator[tuple[str, str]]:
    """The field and the consequence of each difference."""
    scope = entry.scope
    left_out = _consequence(kind, made[0])
    may_ignore = made[0]["failurePolicy"] == "Ignore" or (is_trial and _changes_in_trial(entry.name, made))
    if scope.failure_policy == "Ignore" and not may_ignore:
        yield "failurePolicy", "is Ignore instead of Fail: without an answer of vmguard the API server admits the pods"
    for field, selector in (
        ("namespaceSelector", scope.namespace_selector),
        ("objectSelector", scope.object_selector),
    ):
        expected = [_requirements(_selector(each.get(field))) for each in made]
        more = min((_requirements(selector) - each - shared for each in expected), key=len)
        if more:
            yield field, f"also requires {_listed(map(_shown, sorted(more, key=str)))}: {left_out}"
    lacking = [each for each in _calls(made[0]["rules"]) if not _covers(scope, each)]
    if lacking:
        yield "rules", f"lack {_listed(f'{verb} of {plural}' for verb, plural, _, _ in lacking)}: {left_out}"
    allowed = () if _is_for_pods(made[0]) else [each["expression"] for each in MATCH_CONDITIONS]
    conditions = [each.name for each in scope.match_conditions or () if each.expression not in allowed]
    if conditions:
        yield "matchConditions", f"also have {_listed(conditions)}: {left_out}"


def _consequence(kind: str, made: dict[str, Any]) -> str:
    if not _is_for_pods(made):
        return "vmguard does not report on the objects that this leaves out"
    does = "fill" if kind.startswith("Mutating") else "check"
    return f"vmguard does not {does} the pods that this leaves out"


def _selector(made: Any) -> LabelSelector | None:
    return msgspec.convert(made, LabelSelector) if made else None


def _requirements(selector: LabelSelector | None) -> frozenset[LabelRequirement]:
    if selector is None:
        return frozenset()
    labels = ((key, "In", frozenset({value})) for key, value in (selector.match_labels or {}).items())
    expressions = ((each.key, each.operator, frozenset(each.values or ())) for each in selector.match_expressions or ())
    return frozenset((*labels, *expressions))


def _shared(scopes: list[EntryScope]) -> frozenset[LabelRequirement]:
    """The conditions on namespaces that all entries have, and those on objects of all entries that have any."""
    if len(scopes) < 2:
        return frozenset()
    namespaces = [_requirements(each.namespace_selector) for each in scopes]
    objects = [found for each in scopes if (found := _requirements(each.object_selector))]
    everywhere = frozenset.intersection(*namespaces) | (frozenset.intersection(*objects) if objects else frozenset())
    return frozenset(each for each in everywhere if each[0] not in _OURS)


_Call = tuple[str, str, str, str]
"""Operation, resource, API group and version."""


def _calls(rules: Iterable[dict[str, Any]]) -> Iterator[_Call]:
    for rule in rules:
        yield from product(rule["operations"], rule["resources"], rule["apiGroups"], rule["apiVersions"])


def _covers(scope: EntryScope, call: _Call) -> bool:
    """Whether the entry is called; of a group with any version, one version suffices, as `matchPolicy` converts."""
    operation, resource, group, version = call
    resources = {resource, "*/*", *(("*",) if "/" not in resource else (f"{resource.partition('/')[0]}/*",))}
    return any(
        {operation, "*"} & set(rule.operations)
        and resources & set(rule.resources)
        and {group, "*"} & set(rule.api_groups)
        and (version == "*" or {version, "*"} & set(rule.api_versions))
        and rule.scope != "Cluster"
        for rule in scope.rules or ()
    )


def _shown(requirement: LabelRequirement) -> str:
    key, operator, values = requirement
    return f"{key} {operator} ({', '.join(sorted(values))})" if values else f"{key} {operator}"


def _listed(texts: Iterable[str]) -> str:
    found = list(texts)
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return f"{', '.join(found[:_MOST])}{more}"
