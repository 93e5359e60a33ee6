"""The mutating and the validating webhook configuration (admissionregistration.k8s.io/v1).

One table has the entries. The path of an entry says what its namespaceSelector selects: `/mutate/enforced` and
`/validate/enforced` are called for namespaces that enforce deny, so that no lookup of the Namespace decides that. Only
an entry with failurePolicy Fail can be relied on to deny: the API server ignores the others when vmguard is too slow.
For a namespace that is exempt the API server calls no entry.

The object selector only pre-filters pods by label. The chain of owners decides which resource owns a pod. Every
webhook has a name of its own: the API server stores audit annotations under that name and drops duplicates.
"""

import base64
from typing import Any, Literal

import msgspec

from webhook.policy import components
from webhook.policy.custom_resources import GROUP, RESOURCES
from webhook.policy.enforcement import (
    EXCLUDED,
    EXEMPT,
    EXEMPT_VALUE,
    LABEL,
    LABELS,
    LEVELS,
    MODE_LABEL,
    MODE_VALUE,
    OLD_LABEL,
)
from webhook.policy.workload import MANAGED_BY

NAME = "vmguard"
"""The name of both configurations, where an installation has no other."""

WebhookPath = Literal["/mutate", "/mutate/enforced", "/validate", "/validate/enforced"]
"""The path of an entry where the label of the mode does not count."""

_MODE_PATH = "/mode-enforce"
"""Stands after the first part of the path of an entry for namespaces with the label of the mode."""


class Service(msgspec.Struct, frozen=True):
    """vmguard runs in the cluster, behind this Service; without a namespace in a base, where an overlay sets it."""

    namespace: str = "vmguard-system"
    name: str = "vmguard"
    port: int = 443


class Url(msgspec.Struct, frozen=True):
    """vmguard runs outside the cluster; `base` is `https://HOST:PORT` without a path."""

    base: str


Target = Service | Url
"""The address at which the API server calls vmguard."""


class Match(msgspec.Struct, frozen=True):
    """One of the `matchExpressions` of a namespaceSelector; all of them must match."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class RequestRule(msgspec.Struct, frozen=True):
    """What the API server calls for: these operations on these resources, which are plurals."""

    operations: tuple[str, ...]
    resources: tuple[str, ...]
    group: str = ""
    version: str = "v1"


class Entry(msgspec.Struct, frozen=True):
    """One webhook of a configuration. `namespaces` selects namespaces of pods; None is for resources, in any namespace.

    The selector of every entry leaves out exempt namespaces.
    """

    name: str
    path: WebhookPath
    failure_policy: Literal["Fail", "Ignore"]
    rule: RequestRule
    namespaces: tuple[Match, ...] | None = ()


_PODS = RequestRule(("CREATE",), ("pods",))
_EPHEMERAL_CONTAINERS = RequestRule(("UPDATE",), ("pods/ephemeralcontainers",))
_KINDS = {*components.BY_KIND, *components.PARENTS}
_RESOURCES = RequestRule(
    ("CREATE", "UPDATE"), tuple(each.plural for each in RESOURCES if each.kind in _KINDS), group=GROUP, version="*"
)


BY_NAME = "kubernetes.io/metadata.name"
"""The label that every namespace has with its own name."""

_NOT_KUBE_SYSTEM = Match(BY_NAME, "NotIn", (EXCLUDED,))
"""The pods that a cluster needs to start never wait for vmguard, whatever their labels are."""


def _not_deny(label: str) -> Match:
    """Matches a namespace without the label too."""
    return Match(label, "NotIn", ("deny",))


def _counts_as_deny(label: str) -> tuple[Match, ...]:
    """Matches `deny` and every value that is not a level, as `enforced_in` counts them."""
    return Match(label, "Exists"), Match(label, "NotIn", tuple(level for level in LEVELS if level != "deny"))


_NOT_ENFORCED = tuple(map(_not_deny, LABELS))
"""Matches an unknown value too, as no selector expresses "no label, or one of these values". The API server then calls
this entry and an enforced one, and this one names the value."""

_ENFORCED = _counts_as_deny(LABEL)
_ENFORCED_BY_OLD_LABEL = (*_counts_as_deny(OLD_LABEL), _not_deny(LABEL))
"""Selectors combine by "and" only, so each label needs an entry; both labels with `deny` select only the first."""

MUTATING = (
    Entry("pods", "/mutate", "Fail", _PODS, _NOT_ENFORCED),
    Entry("pods-under-deny", "/mutate/enforced", "Fail", _PODS, _ENFORCED),
    Entry("pods-under-deny-old-label", "/mutate/enforced", "Fail", _PODS, _ENFORCED_BY_OLD_LABEL),
)

_NEVER_ENFORCED = (
    Entry("ephemeral-containers", "/validate", "Ignore", _EPHEMERAL_CONTAINERS),
    Entry("resources", "/validate", "Ignore", _RESOURCES, None),
)

VALIDATING = (
    Entry("enforced-pods", "/validate/enforced", "Fail", _PODS, _ENFORCED),
    Entry("enforced-pods-old-label", "/validate/enforced", "Fail", _PODS, _ENFORCED_BY_OLD_LABEL),
    *_NEVER_ENFORCED,
)
"""Where nothing is denied no entry judges the final pod (docs/enforcement.md)."""

MUTATING_ENFORCE_DENY = (Entry("pods", "/mutate/enforced", "Fail", _PODS),)
"""The mutating entries where every namespace enforces deny."""

VALIDATING_ENFORCE_DENY = (Entry("enforced-pods", "/validate/enforced", "Fail", _PODS), *_NEVER_ENFORCED)

_NEW, _OLD = Match(LABEL, "Exists"), Match(OLD_LABEL, "Exists")
_NO_NEW, _NO_OLD = Match(LABEL, "DoesNotExist"), Match(OLD_LABEL, "DoesNotExist")

DENYING = (
    (
        Entry("pods", "/mutate/enforced", "Fail", _PODS, (_NO_NEW, _NO_OLD)),
        Entry("pods-under-deny", "/mutate/enforced", "Fail", _PODS, (_NEW,)),
        Entry("pods-under-deny-old-label", "/mutate/enforced", "Fail", _PODS, (_NO_NEW, _OLD)),
    ),
    (
        Entry("enforced-pods", "/validate/enforced", "Fail", _PODS, (_NO_OLD,)),
        Entry("enforced-pods-old-label", "/validate/enforced", "Fail", _PODS, (_OLD,)),
    ),
)
"""The entries for pods where every namespace enforces deny, with the names of `MUTATING` and `VALIDATING`. So an apply
keeps each CA bundle, and components of kustomize fit in any order. Each pod goes to one entry of each configuration."""


TRIAL: dict[str, Any] = {"timeoutSeconds": 5, "failurePolicy": "Ignore"}
"""The fields of an entry in a trial. A webhook that is down makes each request wait for the timeout."""


def _changes(field: str) -> str:
    """The CEL expression that is true where an update changes a field, which may be absent."""
    new, old = f"object.{field}", f"oldObject.{field}"
    return f"has({new}) != has({old}) || (has({new}) && {new} != {old})"


MATCH_CONDITIONS = (
    {"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)"},
    {
        "name": "spec-or-owners-changed",
        "expression": f"request.operation == 'CREATE' || {_changes('spec')} || {_changes('metadata.ownerReferences')}",
    },
)
"""Of a resource vmguard decides by its spec and its owners. It ignores a resource that is being deleted, and denies no
update that changes neither. Entries for pods have no conditions: vmguard must see each pod to know its owner."""


_OTHER_MODE = Match(MODE_LABEL, "NotIn", (MODE_VALUE,))
_IN_FORCE = Match(MODE_LABEL, "In", (MODE_VALUE,))


def configurations(
    target: Target, ca: bytes = b"", *, name: str = NAME, enforce_deny: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mutating and the validating configuration, both of one name.

    `ca` is the CA certificate (PEM) that signs the serving certificate. Without it the objects have no `caBundle` key:
    an empty `caBundle` would remove the bundle of an installed configuration, or conflict with it under server-side
    apply (seen with Kubernetes 1.37). With `enforce_deny` every namespace enforces deny, whatever its labels are.
    """
    mutating = MUTATING_ENFORCE_DENY if enforce_deny else MUTATING
    validating = VALIDATING_ENFORCE_DENY if enforce_deny else VALIDATING
    first, second = ([_webhook(each, target, ca) for each in entries] for entries in (mutating, validating))
    return _both(name, first, second)


def staged(target: Target, *, trial: bool, watched: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configurations of an installation that is enforced namespace by namespace, or as a whole.

    Each entry is there twice. One is for namespaces with the label of the mode, where vmguard enforces in any case. The
    other one is for all other namespaces. With `trial` that one can block nothing. The names of the entries are the
    same with and without it, so that an apply of the other form keeps each CA bundle. With `watched`, the namespaces of
    WATCH_NAMESPACE, the API server calls vmguard for these only: it may not read what others have.
    """
    narrowed = (Match(BY_NAME, "In", watched),) if watched else ()
    changed = TRIAL if trial else {}
    mutating, validating = (
        [
            *({**_webhook(each, target, b"", _OTHER_MODE, narrowed), **changed} for each in entries),
            *(_webhook(each, target, b"", _IN_FORCE, narrowed) for each in entries),
        ]
        for entries in (MUTATING, VALIDATING)
    )
    return _both(NAME, mutating, validating)


def denying(target: Target) -> tuple[dict[str, dict[str, Any]], ...]:
    """What `DENYING` changes in the mutating and the validating entries of `staged`: path and selector, by name."""
    fields = "clientConfig", "namespaceSelector"
    return tuple(
        {
            made["name"]: {field: made[field] for field in fields}
            for each in entries
            for made in (_webhook(each, target, b"", mode) for mode in (_OTHER_MODE, _IN_FORCE))
        }
        for entries in DENYING
    )


def _both(
    name: str, mutating: list[dict[str, Any]], validating: list[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    reinvoked = [{**each, "reinvocationPolicy": "IfNeeded"} for each in mutating]
    return _configuration("Mutating", name, reinvoked), _configuration("Validating", name, validating)


def _configuration(kind: str, name: str, webhooks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": webhooks,
    }


def _webhook(
    entry: Entry, target: Target, ca: bytes, mode: Match | None = None, narrowed: tuple[Match, ...] = ()
) -> dict[str, Any]:
    """One entry; `mode` selects namespaces by the label of the mode, `narrowed` by their names."""
    bundle = {"caBundle": base64.b64encode(ca).decode()} if ca else {}
    in_force = mode == _IN_FORCE
    return {
        "name": f"{entry.name}{'-in-force' if in_force else ''}.vmguard.io",
        "admissionReviewVersions": ["v1", "v1beta1"],
        "clientConfig": {**_client(target, _path(entry.path, in_force=in_force)), **bundle},
        "matchPolicy": "Equivalent",
        # an event on the resource reports a denial, and a dry run writes none
        "sideEffects": "NoneOnDryRun" if entry.rule == _PODS else "None",
        "timeoutSeconds": 10,
        "failurePolicy": entry.failure_policy,
        **_selectors(entry.namespaces, (*narrowed, *(() if mode is None else (mode,)))),
        "rules": [_rule(entry.rule)],
    }


def _path(path: WebhookPath, *, in_force: bool) -> str:
    """The path for namespaces with the label of the mode, or for the others."""
    _, webhook, *level = path.split("/")
    return "/".join(("", webhook, _MODE_PATH[1:], *level)) if in_force else path


def _client(target: Target, path: str) -> dict[str, Any]:
    if isinstance(target, Url):
        return {"url": f"{target.base}{path}"}
    namespace = {"namespace": target.namespace} if target.namespace else {}
    return {"service": {**namespace, "name": target.name, "path": path, "port": target.port}}


def _selectors(namespaces: tuple[Match, ...] | None, more: tuple[Match, ...]) -> dict[str, Any]:
    """Of the namespace that vmguard runs in pods are selected too: none of vmguard's own has the label."""
    exempt = Match(EXEMPT, "NotIn", (EXEMPT_VALUE,))
    if namespaces is None:
        return {"namespaceSelector": {"matchExpressions": [_expression(match) for match in (exempt, *more)]}}
    label, value = MANAGED_BY
    return {
        "namespaceSelector": {
            "matchExpressions": [_expression(match) for match in (_NOT_KUBE_SYSTEM, exempt, *more, *namespaces)]
        },
        "objectSelector": {"matchLabels": {label: value}},
    }


def _expression(match: Match) -> dict[str, Any]:
    values = {"values": list(match.values)} if match.values else {}
    return {"key": match.key, "operator": match.operator, **values}


def _rule(rule: RequestRule) -> dict[str, Any]:
    return {
        "operations": list(rule.operations),
        "apiGroups": [rule.group],
        "apiVersions": [rule.version],
        "resources": list(rule.resources),
        "scope": "Namespaced",
    }
