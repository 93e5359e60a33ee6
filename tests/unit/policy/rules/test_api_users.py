"""api-access, API users: a container that clearly calls the API and gets no token is a warning."""

import pytest

from tests.support.preview_warnings import PASSES_RESTRICTED, warnings_on

PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN = {
    "name": "t",
    "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "kube-root-ca.crt"}}]},
}


@pytest.mark.parametrize(
    ("container", "sign"),
    [
        ({"image": "quay.io/kiwigrid/k8s-sidecar:1.2"}, "image k8s-sidecar"),
        ({"image": "kubectl@sha256:0"}, "image kubectl"),
        ({"command": ["sh", "-c", "/bin/kubectl get pods"]}, "it runs kubectl"),
        ({"args": ["--server=https://kubernetes.default.svc"]}, "its command names kubernetes.default"),
        ({"args": ["/etc/kubectl.conf.d"]}, ""),
        ({"image": "kubectl", "command": ["kubectl", "--kubeconfig=/x", "get", "pods"]}, ""),
        ({"image": "kubectl", "command": ["sh", "-c", "A=1; kubectl get pods --kubeconfig /x"]}, ""),
        ({"image": "kubectl", "env": [{"name": "KUBECONFIG", "value": "/x"}]}, ""),
        ({"image": "kubectl", "args": ["--kubeconfig="]}, "image kubectl"),
        (
            {"command": ["sh", "-c", "kubectl --kubeconfig=/k --server=https://kubernetes.default.svc"]},
            "its command names kubernetes.default",
        ),
        ({"image": "busybox"}, ""),
    ],
)
def test_a_sidecar_that_clearly_calls_the_api_without_a_token_is_a_warning(container, sign):
    side = {"name": "side", "image": "side", "securityContext": PASSES_RESTRICTED, **container}
    spec = {"disableAutomountServiceAccountToken": True, "containers": [side]}
    warnings = warnings_on("VMSingle", spec)
    assert len(warnings) == bool(sign)
    assert not sign or f"container 'side' calls the Kubernetes API ({sign}) and gets no token with" in warnings[0]
    assert warnings_on("VMSingle", {"containers": [side]}) == []
    side["volumeMounts"] = [{"name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]
    assert warnings_on("VMSingle", {**spec, "volumes": [TOKEN]}) == []


@pytest.mark.parametrize(
    ("token", "path", "fault"),
    [
        ({"path": "token", "audience": "vault"}, PATH, "a token for audience 'vault', which the API server answers"),
        ({"path": "jwt"}, f"{PATH}/", "its token in the file 'jwt', and clients read 'token'"),
        ({"path": "token"}, PATH, ""),
        ({"path": "token", "audience": "vault"}, "/vault", ""),
    ],
    ids=str,
)
def test_a_token_in_place_must_be_one_for_the_api(token, path, fault):
    sources = [{"serviceAccountToken": token}, {"configMap": {"name": "kube-root-ca.crt"}}]
    mounts = [{"name": "t", "mountPath": path}]
    side = {"name": "side", "image": "kubectl", "securityContext": PASSES_RESTRICTED, "volumeMounts": mounts}
    volumes = [{"name": "t", "projected": {"sources": sources}}]
    spec = {"disableAutomountServiceAccountToken": True, "volumes": volumes, "containers": [side]}
    warnings = warnings_on("VMSingle", spec)
    assert len(warnings) == bool(fault)
    assert not fault or f"(image kubectl), but the volume 't' at its token path holds {fault}" in warnings[0]


def test_kubectl_needs_a_certificate_beside_its_token():
    volume = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    side = {"name": "side", "image": "kubectl", "volumeMounts": [{"name": "t", "mountPath": PATH}]}
    spec = {"disableAutomountServiceAccountToken": True, "volumes": [volume], "containers": [side]}
    (warning,) = warnings_on("VMSingle", spec, "api-access")
    assert "(image kubectl), but the volume 't' at its token path holds no ca.crt" in warning


def test_the_api_server_takes_any_volume_with_the_prefix_of_its_own_for_the_token():
    spec = {"volumes": [{"name": "kube-api-access-mine", "configMap": {"name": "c"}}]}
    warnings = warnings_on("VMAgent", spec, "api-access")
    assert len(warnings) == 3
    assert all("the volume 'kube-api-access-mine' at its token path holds no token: rename it" in w for w in warnings)
    assert warnings_on("VMAgent", {**spec, "disableAutomountServiceAccountToken": True}, "api-access") == []
