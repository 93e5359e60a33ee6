"""Every object of the chart, with every value set, has only fields that the API servers know."""

import copy

import pytest
import yaml

from tests.controlplane.api import wait_for
from tests.support.foreign_definitions import foreign_definitions, installed_kinds
from tests.support.helm import CHART, RELEASE

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
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
    for each in foreign_definitions():
        plane.api.create(each)
    for kind in installed_kinds():
        wait_for(lambda kind=kind: plane.api.serves(*kind), "the definitions to be served")
    yield plane
    for each in foreign_definitions():
        plane.api.delete_if_there(each["apiVersion"], each["kind"], each["metadata"]["name"])


def _refused(plane, objects):
    """What kubectl or the API server says against objects, which are sent as a dry run; "" for nothing.

    Kubernetes 1.24 leaves it to kubectl to find a field that it does not know.
    """
    text = yaml.safe_dump_all(objects)
    done = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("case", CASES)
def test_every_object_passes_strict_field_validation_and_the_pods_are_restricted(plane_of_version, helm, case):
    """The test pod too. Sent as a dry run, as other tests use this control plane."""
    plane = plane_of_version
    namespace = plane.namespace(f"chart-{case.replace(' ', '-').lower()}", RESTRICTED)
    text = helm.text("template", RELEASE, str(CHART), "--namespace", namespace, values=CASES[case])
    objects = list(yaml.safe_load_all(text))
    (test,) = (each for each in objects if each["kind"] == "Pod")
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    replica = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(deployment["spec"]["template"])}
    replica["metadata"] |= {"name": "replica", "namespace": namespace}
    replica["spec"]["serviceAccountName"] = "default"  # a dry run does not create that of the chart
    objects.remove(test)
    assert _refused(plane, objects) == ""
    assert _refused(plane, [test]) == ""
    said = _refused(plane, [replica])
    assert "violates PodSecurity" in said if CASES[case].get("hostNetwork") else said == ""


def test_a_misspelt_field_is_refused(plane_of_version, helm):
    """So the validation above can fail."""
    (account,) = (each for each in helm.rendered(namespace="default") if each["kind"] == "ServiceAccount")
    account["automountServiceAccountTokens"] = False
    assert "unknown field" in _refused(plane_of_version, [account])
