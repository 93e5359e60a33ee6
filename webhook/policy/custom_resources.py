"""Every resource of the operator's API group: kind, names and versions as the operator's CRDs define them.

One table that roles, webhook configurations, stand-in CRDs and look-ups follow from. It holds names only; what makes
pods, and which, is in `components`. Source: the CRDs of operator v0.42 to v0.74.
"""

import msgspec

GROUP = "operator.victoriametrics.com"


class CustomResource(msgspec.Struct, frozen=True, gc=False):
    """One resource; all are namespaced. `storage` is the version it is stored in, the only one served."""

    kind: str
    plural: str
    singular: str
    storage: str


def _resource(kind: str, plural: str, storage: str) -> CustomResource:
    return CustomResource(kind, plural, kind.lower(), storage)


RESOURCES: tuple[CustomResource, ...] = (
    _resource("VLAgent", "vlagents", "v1"),
    _resource("VLCluster", "vlclusters", "v1"),
    _resource("VLDistributed", "vldistributed", "v1alpha1"),
    _resource("VLSingle", "vlsingles", "v1"),
    _resource("VLogs", "vlogs", "v1beta1"),
    _resource("VMAgent", "vmagents", "v1beta1"),
    _resource("VMAlert", "vmalerts", "v1beta1"),
    _resource("VMAlertmanager", "vmalertmanagers", "v1beta1"),
    _resource("VMAlertmanagerConfig", "vmalertmanagerconfigs", "v1beta1"),
    _resource("VMAnomaly", "vmanomalies", "v1"),
    _resource("VMAnomalyConfig", "vmanomalyconfigs", "v1"),
    _resource("VMAuth", "vmauths", "v1beta1"),
    _resource("VMCluster", "vmclusters", "v1beta1"),
    _resource("VMDistributed", "vmdistributed", "v1alpha1"),
    _resource("VMNodeScrape", "vmnodescrapes", "v1beta1"),
    _resource("VMPodScrape", "vmpodscrapes", "v1beta1"),
    _resource("VMProbe", "vmprobes", "v1beta1"),
    _resource("VMRule", "vmrules", "v1beta1"),
    _resource("VMScrapeConfig", "vmscrapeconfigs", "v1beta1"),
    _resource("VMServiceScrape", "vmservicescrapes", "v1beta1"),
    _resource("VMSingle", "vmsingles", "v1beta1"),
    _resource("VMStaticScrape", "vmstaticscrapes", "v1beta1"),
    _resource("VMUser", "vmusers", "v1beta1"),
    _resource("VTCluster", "vtclusters", "v1"),
    _resource("VTSingle", "vtsingles", "v1"),
)

BY_KIND: dict[str, CustomResource] = {resource.kind: resource for resource in RESOURCES}
