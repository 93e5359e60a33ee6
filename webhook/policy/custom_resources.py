"""Every resource of the operator's API group: kind, names and version.

Roles, webhook configurations, stand-in definitions and lookups follow from this table. The kinds that make pods are
rows of the component table; the others have their rows here. Source: the CRDs of operator v0.42 to v0.76.
"""

import msgspec

from webhook.policy.components import KINDS
from webhook.text import LONGEST_QUOTE, nearest, one_line

GROUP = "operator.victoriametrics.com"


class CustomResource(msgspec.Struct, frozen=True, gc=False):
    """One resource; all are namespaced. `storage` is the version it is stored in, the only one served."""

    kind: str
    plural: str
    singular: str
    storage: str


def _resource(kind: str, plural: str, storage: str) -> CustomResource:
    return CustomResource(kind, plural, kind.lower(), storage)


CONFIGURATION: tuple[CustomResource, ...] = (
    _resource("VMAlertmanagerConfig", "vmalertmanagerconfigs", "v1beta1"),
    _resource("VMAnomalyConfig", "vmanomalyconfigs", "v1"),
    _resource("VMNodeScrape", "vmnodescrapes", "v1beta1"),
    _resource("VMPodScrape", "vmpodscrapes", "v1beta1"),
    _resource("VMProbe", "vmprobes", "v1beta1"),
    _resource("VMRule", "vmrules", "v1beta1"),
    _resource("VMScrapeConfig", "vmscrapeconfigs", "v1beta1"),
    _resource("VMServiceScrape", "vmservicescrapes", "v1beta1"),
    _resource("VMStaticScrape", "vmstaticscrapes", "v1beta1"),
    _resource("VMUser", "vmusers", "v1beta1"),
)
"""Kinds that make no pods and no other resources: the operator writes them into the configuration of those that do."""

RESOURCES: tuple[CustomResource, ...] = tuple(
    sorted(
        (*(_resource(row.kind, row.plural, row.version) for row in KINDS), *CONFIGURATION),
        key=lambda resource: resource.kind,
    )
)
"""All resources, by kind."""

BY_KIND: dict[str, CustomResource] = {resource.kind: resource for resource in RESOURCES}

_BY_NAME = {name: each for each in RESOURCES for name in (each.kind.lower(), each.singular, each.plural)}

_LEAST_ALIKE = 0.8
"""How much of a group must be like the operator's to be meant as it."""


def nearest_kinds(kind: str) -> tuple[str, ...]:
    """The known kinds with a name like a wrong one, the nearest first; one kind alone where only the case differs."""
    found = _BY_NAME.get(kind.lower())
    return (found.kind,) if found else nearest(kind, tuple(BY_KIND))


def is_meant(api_version: str, kind: str) -> bool:
    """Whether an object of this API version and kind is meant to be one of the operator's, in its group or not."""
    group, _, version = api_version.rpartition("/")
    if GROUP in {group, version}:  # some people write the version first
        return True
    if not group:
        return kind.lower() in _BY_NAME
    return "victoriametrics" in group or bool(nearest(group, (GROUP,), least=_LEAST_ALIKE))


def wrong_name(api_version: str, kind: str) -> str:
    """What is wrong with the names of an object that is meant to be one of the operator's, "" for nothing.

    In the operator's own group no kind is wrong: a newer operator may have one without a row in the tables.
    """
    group, _, version = api_version.rpartition("/")
    if group == GROUP:
        known = BY_KIND.get(kind)
        if known is None or version == known.storage:
            return ""
        right = f"{GROUP}/{known.storage}"
        return f"apiVersion {_shown(api_version)} is none of {kind}, as far as vmguard knows: write {right}"
    if not is_meant(api_version, kind):
        return ""
    kinds = nearest_kinds(kind)
    right = f"{kinds[0]} of {GROUP}/{BY_KIND[kinds[0]].storage}" if kinds else f"a kind of {GROUP}"
    return f"{_shown(kind)} of apiVersion {_shown(api_version)} is no resource of the operator: write {right}"


def _shown(name: str) -> str:
    return one_line(name, LONGEST_QUOTE)
