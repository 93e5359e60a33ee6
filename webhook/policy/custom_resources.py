"""Every resource of the operator's API group: kind, names and version.

Roles, webhook configurations, stand-in definitions and lookups follow from this table. The kinds that make pods are
rows of the component table; the others have their rows here. Source: the CRDs of operator v0.42 to v0.76.
"""

import msgspec

from webhook.policy.components import KINDS

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
