"""Every object of the chart, with every value set, has only fields that the API servers know."""

import copy

import pytest
import yaml

from tests.controlplane.api import ApiError
from tests.support.helm import CHART, RELEASE

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
NOT_SERVED = {"Certificate", "ServiceMonitor", "PrometheusRule"}
"""Kinds of cert-manager and of the Prometheus operator, which these control planes do not have."""

EVERYTHING = {
    "commonLabels": {"team": "sre"},
    "mode": "enforce",
    "enforce": "deny",
    "webhook": {
        "port": 10250,
        "timeoutSeconds": 7,
        "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
        "objectSelector": {"matchLabels": {"a": "b"}},
        "annotations": {"a": "b"},
    },
    "image": {"registry": "example.org", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "key"}],
    "serviceAccount": {"annotations": {"a": "b"}},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podLabels": {"a": "b"},
    "extraEnv": [{"name": "VMGUARD_LOG_LEVEL", "value": "debug"}],
    "extraEnvFrom": [{"configMapRef": {"name": "more", "optional": True}}],
    "extraArgs": ["--log-level=debug"],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "extraObjects": [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "{{ .Release.Name }}-more", "namespace": "{{ .Release.Namespace }}"},
        }
    ],
    "dnsPolicy": "Default",
    "service": {
        "type": "NodePort",
        "ipFamilyPolicy": "SingleStack",
        "ipFamilies": ["IPv4"],
        "annotations": {"a": "b"},
    },
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True, "interval": "15s"},
    "rules": {"enabled": True},
    "certManager": {"enabled": True, "issuerRef": {"name": "ca"}},
}

CASES = {
    "defaults": {},
    "everything": EVERYTHING,
    "one namespace": {"watchNamespaces": ["default"]},
    "the network of the node": {"hostNetwork": True},
}


@pytest.fixture(scope="module", params=["1.24", "1.37"])
def plane_of_version(request):
    return request.getfixturevalue("plane_124" if request.param == "1.24" else "plane")


@pytest.mark.parametrize("case", CASES)
def test_every_object_passes_strict_field_validation_and_the_pods_are_restricted(plane_of_version, helm, case):
    """The test pod too. Sent as a dry run, as other tests use this control plane."""
    plane = plane_of_version
    namespace = plane.namespace(f"chart-{case.replace(' ', '-')}", RESTRICTED)
    text = helm.text("template", RELEASE, str(CHART), "--namespace", namespace, values=CASES[case])
    pods = []
    for thing in yaml.safe_load_all(text):
        if thing["kind"] in NOT_SERVED:
            continue
        if thing["kind"] == "Pod":
            pods.append(thing)
            continue
        plane.api.create(thing, thing["metadata"].get("namespace"), dryRun="All", fieldValidation="Strict")
        if thing["kind"] == "Deployment":
            template = copy.deepcopy(thing["spec"]["template"])
            template["spec"]["serviceAccountName"] = "default"
            pods.append({"apiVersion": "v1", "kind": "Pod", **template})
            pods[-1]["metadata"]["name"] = "replica"
    assert len(pods) == 2
    for pod in pods:
        if pod["spec"].get("hostNetwork"):
            with pytest.raises(ApiError, match="hostNetwork=true"):
                plane.api.create(pod, namespace, dryRun="All", fieldValidation="Strict")
            continue
        plane.api.create(pod, namespace, dryRun="All", fieldValidation="Strict")


def test_a_misspelt_field_is_refused(plane, helm):
    """So the validation above can fail."""
    (account,) = (each for each in helm.rendered(namespace="default") if each["kind"] == "ServiceAccount")
    account["automountServiceAccountTokens"] = False
    with pytest.raises(ApiError, match="unknown field"):
        plane.api.create(account, "default", dryRun="All", fieldValidation="Strict")
