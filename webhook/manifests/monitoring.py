"""How vmguard is scraped and what is alerted on, as resources of the VictoriaMetrics and of the Prometheus operator.

Metrics of vmguard name namespaces in the label `namespace`. `honorLabels` keeps that label; without it Prometheus would
rename it to `exported_namespace`, as each target has a label of that name too.
"""

from typing import Any

from webhook.manifests.alerts import rule_groups
from webhook.manifests.installation import labels
from webhook.manifests.roles import InstallationNames

_VICTORIAMETRICS = "operator.victoriametrics.com/v1beta1"
_PROMETHEUS = "monitoring.coreos.com/v1"


def vm_scrape(names: InstallationNames) -> dict[str, Any]:
    """The VMServiceScrape of vmguard's Service."""
    return _scrape(names, _VICTORIAMETRICS, "VMServiceScrape")


def vm_rules(names: InstallationNames) -> dict[str, Any]:
    """The VMRule with the alerts."""
    return _rules(names, _VICTORIAMETRICS, "VMRule")


def service_monitor(names: InstallationNames) -> dict[str, Any]:
    """The ServiceMonitor of vmguard's Service."""
    return _scrape(names, _PROMETHEUS, "ServiceMonitor")


def prometheus_rules(names: InstallationNames) -> dict[str, Any]:
    """The PrometheusRule with the alerts."""
    return _rules(names, _PROMETHEUS, "PrometheusRule")


def _scrape(names: InstallationNames, version: str, kind: str) -> dict[str, Any]:
    endpoint = {"port": "operations", "path": "/metrics", "honorLabels": True}
    spec = {"selector": {"matchLabels": _found_by(names)}, "endpoints": [endpoint]}
    return {**_head(names, version, kind), "spec": spec}


def _found_by(names: InstallationNames) -> dict[str, str]:
    """The labels of the Service. Not that of the instance: Argo CD can write the name of its Application into it."""
    return {key: labels(names)[key] for key in ("app.kubernetes.io/name", "app.kubernetes.io/component")}


def _rules(names: InstallationNames, version: str, kind: str) -> dict[str, Any]:
    return {**_head(names, version, kind), "spec": {"groups": rule_groups()}}


def _head(names: InstallationNames, version: str, kind: str) -> dict[str, Any]:
    metadata = {"name": names.account, "namespace": names.namespace, "labels": labels(names)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
