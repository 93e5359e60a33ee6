"""What the real ServiceAccount of vmguard may do, and what its token, the CA or a leaf are good for in other hands."""

import base64
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from certs import AUTHORITY_NAME, Authority
from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.registration import LABEL
from tests.controlplane.stand_in_operator import recreate
from tests.support.accounts import RBAC, RBAC_GROUP, Account
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, bare_pod
from tests.support.documented_permissions import grant_all_documented
from tests.support.egress import egress_of
from tests.support.release import release
from tests.support.signed_certificates import signed
from tests.support.tls_server import over_tls


@pytest.fixture(scope="module")
def installation(plane, tmp_path_factory):
    """An installation with the account `vmguard`, which has the documented permissions and no others."""
    with egress_of(plane) as egress, release(plane, egress, tmp_path_factory.mktemp("installation")) as made:
        made.configure()
        yield made


@pytest.fixture(scope="module")
def account(plane, installation):
    made = Account(plane, service_account=(installation.namespace, "vmguard"))
    grant_all_documented(made, installation)
    return made


@pytest.fixture(scope="module")
def thief(plane, installation, account):
    """A client with the token, once RBAC knows its rules."""
    api = plane.api_with(account.token)

    def knows():
        try:
            return api.get("v1", "Secret", installation.secret, installation.namespace)
        except ApiError:
            return None

    wait_for(knows, "RBAC to know the rules")
    return api


def test_vmguard_needs_no_other_permission(plane, installation, account):
    """It installs its bundle, leads, secures a pod and surveys; nothing is missing in the log and in /readyz."""
    server = installation.replica(account.kubeconfig, **STRICT_SECURITY)
    installation.ready(server)
    wait_for(installation.admits, "a pod to be admitted")
    namespace = plane.namespace(f"{installation.name}-resources", {LABEL: installation.name})
    pod = recreate(VMSINGLE, plane.api, namespace).pod()
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    wait_for(lambda: server.metric("vmguard_survey_timestamp_seconds") > 0, "a survey")
    assert "may not" not in server.operation("/readyz?verbose")[1]
    assert not [line for line in server.lines() if "may not" in line.get("reason", "")]


POD = "/api/v1/namespaces/{}/pods"
SECRETS = "/api/v1/namespaces/{}/secrets"
ACCOUNTS = "/api/v1/namespaces/{}/serviceaccounts"
POLICIES = "/apis/admissionregistration.k8s.io/v1"
ROLES = f"/apis/{RBAC_GROUP}/v1"
NAMED = {"metadata": {"name": "other"}}
BINDING = {"apiVersion": RBAC, "kind": "ClusterRoleBinding", **NAMED}
DENIED = {
    "read another Secret": ("GET", f"{SECRETS}/other", None),
    "list Secrets": ("GET", SECRETS, None),
    "create a Secret": ("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", **NAMED}),
    "delete the CA": ("DELETE", f"{SECRETS}/vmguard-ca", None),
    "read a ConfigMap": ("GET", "/api/v1/namespaces/{}/configmaps/kube-root-ca.crt", None),
    "create a pod": ("POST", POD, bare_pod()),
    "read a log": ("GET", f"{POD}/other/log", None),
    "run a command in a pod": ("POST", f"{POD}/other/exec", None),
    "delete a pod": ("DELETE", f"{POD}/other", None),
    "make a token": ("POST", f"{ACCOUNTS}/default/token", {"spec": {}}),
    "make a token of its own": ("POST", f"{ACCOUNTS}/vmguard/token", {"spec": {}}),
    "create a webhook configuration": ("POST", f"{POLICIES}/mutatingwebhookconfigurations", {**NAMED}),
    "delete a webhook configuration": ("DELETE", f"{POLICIES}/validatingwebhookconfigurations/vmguard", None),
    "change the fence": ("PATCH", f"{POLICIES}/validatingadmissionpolicies/vmguard-fence", {}),
    "delete the fence": ("DELETE", f"{POLICIES}/validatingadmissionpolicies/vmguard-fence", None),
    "unbind the fence": ("DELETE", f"{POLICIES}/validatingadmissionpolicybindings/vmguard-fence", None),
    "create a mutating policy": ("POST", f"{POLICIES}/mutatingadmissionpolicies", {**NAMED}),
    "bind a role": ("POST", f"{ROLES}/clusterrolebindings", BINDING),
    "change its role": ("PATCH", f"{ROLES}/namespaces/{{}}/roles/other", {}),
    "label a namespace": ("PATCH", "/api/v1/namespaces/{}", {"metadata": {"labels": {"vmguard.io/exempt": "true"}}}),
    "change a resource": ("DELETE", "/apis/operator.victoriametrics.com/v1beta1/namespaces/{}/vmsingles/other", None),
    "change a Deployment": ("DELETE", "/apis/apps/v1/namespaces/{}/deployments/other", None),
    "delete the Lease": ("DELETE", "/apis/coordination.k8s.io/v1/namespaces/{}/leases/vmguard", None),
    "change another Lease": ("PATCH", "/apis/coordination.k8s.io/v1/namespaces/{}/leases/other", {}),
    "read a node's pods": ("GET", "/api/v1/nodes/node-0/proxy/pods", None),
}


@pytest.mark.parametrize("attempt", DENIED)
def test_a_stolen_token_is_denied_everything_else(thief, installation, attempt):
    method, path, body = DENIED[attempt]
    how = "application/merge-patch+json" if method == "PATCH" else "application/json"
    with pytest.raises(ApiError) as refused:
        thief.request(method, path.format(installation.namespace), body, how)
    assert refused.value.status == 403
    assert "cannot" in str(refused.value)


def test_the_type_of_the_secret_cannot_be_changed(thief, installation):
    """Otherwise the token controller would put the token of any ServiceAccount of the namespace into it."""
    secret = thief.get("v1", "Secret", installation.secret, installation.namespace)
    secret["type"] = "kubernetes.io/service-account-token"
    secret["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
    with pytest.raises(ApiError) as refused:
        thief.replace(secret)
    assert refused.value.status == 422
    assert "type: Invalid value" in str(refused.value)


class Greeting(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.mark.parametrize("constrained", [True, False])
def test_the_ca_key_signs_for_no_other_server(plane, tmp_path, constrained):
    """The TLS client of Kubernetes, here kubectl's, refuses it; without the constraint it would not."""
    only = "vmguard.monitoring.svc" if constrained else ""
    now = datetime.now(UTC) - timedelta(hours=2)
    authority = Authority.create(AUTHORITY_NAME, now=now, lifetime=timedelta(days=365), only=only)
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    (tmp_path / "tls.pem").write_bytes(signed(authority, "localhost"))
    with over_tls(HTTPServer(("127.0.0.1", 0), Greeting), tmp_path / "tls.pem") as address:
        done = plane.kubectl("--server", address, "--certificate-authority", str(tmp_path / "ca.crt"), "get", "--raw=/")
    assert (done.returncode == 0) is not constrained, done.stderr
    assert ("is not permitted by any constraint" in done.stderr) is constrained


def test_an_editor_of_vmguards_namespace_can_use_its_account_and_read_its_ca(plane, installation, account):
    """Why a namespace that tenants edit is no place for vmguard."""
    editor = f"editor-of-{installation.namespace}"
    plane.api.create(
        {
            "apiVersion": RBAC,
            "kind": "RoleBinding",
            "metadata": {"name": editor},
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": RBAC_GROUP, "kind": "User", "name": editor}],
        },
        installation.namespace,
    )
    api = plane.api_as(editor)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "editor"},
        "spec": {"serviceAccountName": "vmguard", "containers": [{"name": "shell", "image": "shell"}]},
    }

    def created():
        try:
            return api.create(pod, installation.namespace, dryRun="All")
        except ApiError:
            return None

    mounted = wait_for(created, "the role edit to be known")["spec"]["volumes"][0]["projected"]["sources"]
    assert any("serviceAccountToken" in source for source in mounted)
    secret = api.get("v1", "Secret", installation.secret, installation.namespace)
    if "tls.key" in secret.get("data", {}):
        assert b"PRIVATE KEY" in base64.b64decode(secret["data"]["tls.key"])


def test_tokens_end_with_their_service_account(plane, namespace):
    """Also where one of the same name is created: a token is for one UID."""
    account = Account(plane, service_account=(namespace, "vmguard"))
    account.add({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
    api = plane.api_with(account.token)

    def status():
        try:
            api.list("v1", "Pod", namespace)
        except ApiError as error:
            return error.status
        return 200

    wait_for(lambda: status() == 200, "the token to be good")
    plane.api.delete("v1", "ServiceAccount", "vmguard", namespace)
    plane.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "vmguard"}}, namespace)
    wait_for(lambda: status() == 401, "the token to end")


def test_a_stolen_ca_is_trusted_no_longer_once_secret_and_bundles_are_emptied(plane, tmp_path):
    """No replica runs meanwhile, because a running one would restore the CA that it has in memory."""
    with egress_of(plane) as egress, release(plane, egress, tmp_path) as installation:
        installation.configure()
        server = installation.replica()
        installation.ready(server)
        stolen = installation.state().current.certificate
        server.end()
        installation.write_data({})
        installation.install(b"")
        installation.ready(installation.replica())
        installation.installed()
        state = installation.state()
        assert state.current.certificate != stolen
        assert stolen not in state.trusted
        wait_for(installation.admits, "a pod to be admitted")
