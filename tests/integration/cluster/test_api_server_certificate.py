"""A real API server shows vmguard its client certificate; another client of the network is not served."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from certs import Authority
from tests.controlplane.plane import API_SERVER, control_plane
from tests.controlplane.registration import registered
from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, failed_create
from tests.support.server import serving_cluster
from tests.support.signed_certificates import signed

NAME = "kube-apiserver-admission"


@pytest.fixture(scope="module")
def authority():
    return Authority.create("clients", now=datetime.now(UTC), lifetime=timedelta(days=1))


@pytest.fixture(scope="module")
def showing(can_have_control_plane, tmp_path_factory, authority):
    """A control plane whose API server has a client certificate for webhooks on this machine."""
    folder = tmp_path_factory.mktemp("admission")
    (folder / "client.pem").write_bytes(signed(authority, NAME, client=True))
    user = {"client-certificate": str(folder / "client.pem"), "client-key": str(folder / "client.pem")}
    kubeconfig = {"apiVersion": "v1", "kind": "Config", "users": [{"name": "*", "user": user}]}
    (folder / "webhooks.kubeconfig").write_text(json.dumps(kubeconfig))
    settings = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "WebhookAdmissionConfiguration",
        "kubeConfigFile": str(folder / "webhooks.kubeconfig"),
    }
    plugins = [{"name": f"{kind}AdmissionWebhook", "configuration": settings} for kind in ("Mutating", "Validating")]
    configuration = {"apiVersion": settings["apiVersion"], "kind": "AdmissionConfiguration", "plugins": plugins}
    (folder / "admission.yaml").write_text(yaml.safe_dump(configuration))
    with control_plane(flags={API_SERVER: [f"--admission-control-config-file={folder}/admission.yaml"]}) as plane:
        plane.install_resources()
        yield plane


@pytest.mark.parametrize("names", [NAME, "somebody-else"])
def test_only_the_api_server_with_its_certificate_is_served(showing, authority, tmp_path, names):
    """With its name pods are secured. With another one they are refused, and the event says why."""
    (tmp_path / "clients.crt").write_bytes(authority.certificate_pem)
    label = names
    settings = {"VMGUARD_CLIENT_CA_FILE": str(tmp_path / "clients.crt"), "VMGUARD_CLIENT_NAMES": names}
    with serving_cluster(tmp_path, showing.kubeconfig(), **STRICT_SECURITY, **settings) as server:
        ca = Path(server.ca).read_bytes()
        namespace = showing.namespace(f"pods-{label}", {"vmguard-test": label})
        with registered(showing, server.url, ca, label, wait=names == NAME):
            if names == NAME:
                pod = recreate(VMSINGLE, showing.api, namespace).pod()
                assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
            else:
                recreate(VMSINGLE, showing.api, namespace)
                assert f"the client's certificate has {NAME}" in failed_create(showing, namespace, "VMGUARD_CLIENT")
