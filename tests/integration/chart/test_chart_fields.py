"""Every object of the chart, with every value set, has only fields that the API servers know."""

import pytest
import yaml

from tests.support.foreign_definitions import foreign_kinds
from tests.support.helm import CHART, RELEASE
from tests.support.strict_creates import RESTRICTED, refused, replica_of

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

PROMETHEUS = {"serviceMonitor": {"enabled": True, "vm": False}, "rules": {"enabled": True, "vm": False}}

CASES = {
    "defaults": {},
    "everything": EVERYTHING,
    "one namespace": {"watchNamespaces": ["default"]},
    "the network of the node": {"hostNetwork": True},
    "the Prometheus operator": PROMETHEUS,
}


@pytest.fixture(scope="module", params=["1.24", "1.37"])
def plane_of_version(request):
    """A control plane that also has definitions of cert-manager and of the Prometheus operator."""
    plane = request.getfixturevalue("plane_124" if request.param == "1.24" else "plane")
    with foreign_kinds(plane):
        yield plane


@pytest.mark.parametrize("case", CASES)
def test_every_object_passes_strict_field_validation_and_the_pods_are_restricted(plane_of_version, helm, case):
    """The test pod too. Sent as a dry run, as other tests use this control plane."""
    plane = plane_of_version
    namespace = plane.namespace(f"chart-{case.replace(' ', '-').lower()}", RESTRICTED)
    text = helm.text("template", RELEASE, str(CHART), "--namespace", namespace, values=CASES[case])
    objects = list(yaml.safe_load_all(text))
    (test,) = (each for each in objects if each["kind"] == "Pod")
    replica = replica_of(objects)
    replica["metadata"]["namespace"] = namespace
    objects.remove(test)
    assert refused(plane, objects) == ""
    assert refused(plane, [test]) == ""
    said = refused(plane, [replica])
    assert "violates PodSecurity" in said if CASES[case].get("hostNetwork") else said == ""


def test_a_misspelt_field_isrefused(plane_of_version, helm):
    """So the validation above can fail."""
    (account,) = (each for each in helm.rendered(namespace="default") if each["kind"] == "ServiceAccount")
    account["automountServiceAccountTokens"] = False
    assert "unknown field" in refused(plane_of_version, [account])
