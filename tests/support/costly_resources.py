"""Resources whose preview takes a process much longer than any other request."""

from typing import Any

from webhook.policy.custom_resources import GROUP


def costly_distributed(name: str, namespace: str, zones: int = 13, containers: int = 30) -> dict[str, Any]:
    """A VMDistributed of some 25 KB, each of whose zones has pods that are identical to no others."""
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "VMDistributed",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"zones": [_zone(number, containers) for number in range(zones)]},
    }


def _zone(number: int, containers: int) -> dict[str, Any]:
    spec = {
        part: {"extraArgs": {"zone": str(number)}, "containers": [_container(each) for each in range(containers // 3)]}
        for part in ("vmstorage", "vmselect", "vminsert")
    }
    return {"name": f"z{number}", "vmcluster": {"name": f"cluster-{number}", "spec": spec}}


def _container(number: int) -> dict[str, Any]:
    return {"name": f"sidecar-{number}", "image": "registry.example/a:1"}
