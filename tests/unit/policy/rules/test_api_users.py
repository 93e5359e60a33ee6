"""api-access, API users: a container that clearly calls the API and gets no token is a warning."""

import pytest

from tests.support.preview_warnings import PASSES_RESTRICTED, warnings_on

TOKEN = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}


@pytest.mark.parametrize(
    ("container", "sign"),
    [
        ({"image": "quay.io/kiwigrid/k8s-sidecar:1.2"}, "image k8s-sidecar"),
        ({"image": "kubectl@sha256:0"}, "image kubectl"),
        ({"command": ["sh", "-c", "/bin/kubectl get pods"]}, "it runs kubectl"),
        ({"args": ["--server=https://kubernetes.default.svc"]}, "its command names kubernetes.default"),
        ({"args": ["/etc/kubectl.conf.d"]}, ""),
        ({"image": "busybox"}, ""),
    ],
)
def test_a_sidecar_that_clearly_calls_the_api_without_a_token_is_a_warning(container, sign):
    side = {"name": "side", "securityContext": PASSES_RESTRICTED, **container}
    spec = {"disableAutomountServiceAccountToken": True, "containers": [side]}
    warnings = warnings_on("VMSingle", spec)
    assert len(warnings) == bool(sign)
    assert not sign or f"container 'side' calls the Kubernetes API ({sign}) and gets no token with" in warnings[0]
    assert warnings_on("VMSingle", {"containers": [side]}) == []
    side["volumeMounts"] = [{"name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]
    assert warnings_on("VMSingle", {**spec, "volumes": [TOKEN]}) == []
