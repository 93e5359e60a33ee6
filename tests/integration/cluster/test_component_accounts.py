"""Components for the account and the pods of vmguard: flow control, and PodSecurityPolicies of Kubernetes 1.24."""

import copy

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.plane import API_SERVER, control_plane
from tests.controlplane.versions import WITH_POLICIES
from tests.support.accounts import RBAC
from tests.support.admission_pods import failed_create
from tests.support.overlays import applied, container_environment, overlay
from tests.support.resource_manifests import PSP, custom_resource, pod_security_policy
from tests.support.server import starting_cluster
from webhook.manifests.optional_objects import flow_schemas
from webhook.manifests.roles import InstallationNames

NAMESPACE = "vmguard-system"


def test_flow_schemas_take_the_requests_of_vmguards_account_and_of_no_other(plane):
    """The API server names in each answer the FlowSchema that it has chosen."""
    namespace = plane.namespace("flows")
    names = InstallationNames(namespace=namespace, configuration="flows")
    lease_schema, schema = (plane.api.create(each) for each in flow_schemas(names))
    try:
        plane.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "vmguard"}}, namespace)
        ours, others = (plane.api_with(plane.token(namespace, name)) for name in ("vmguard", "default"))
        pods, lease = "/api/v1/pods", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/vmguard"
        wanted = [schema["metadata"]["uid"], lease_schema["metadata"]["uid"], schema["metadata"]["uid"]]
        wait_for(lambda: [_chosen(ours, path) for path in (pods, lease, "/version")] == wanted, "the FlowSchemas")
        assert not {_chosen(others, path) for path in (pods, lease)} & set(wanted)
        levels = {
            each["metadata"]["uid"]: each["metadata"]["name"]
            for each in plane.api.list("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration")
        }
        assert [levels[_chosen(ours, path, "PriorityLevel")] for path in (pods, lease)] == [
            "workload-high",
            "leader-election",
        ]
    finally:
        for each in (lease_schema, schema):
            plane.api.delete(each["apiVersion"], each["kind"], each["metadata"]["name"])


def _chosen(api, path, what="FlowSchema"):
    return api._http.get(path).headers[f"X-Kubernetes-PF-{what}-UID"]


@pytest.fixture(scope="module")
def with_policies(can_have_policies):
    """A control plane where no pod is made without a policy that its maker or its account may use."""
    flags = {API_SERVER: ["--enable-admission-plugins=PodSecurityPolicy"]}
    with control_plane(WITH_POLICIES, flags=flags) as plane:
        plane.install_resources()
        plane.api.create(pod_security_policy("for-administrators"))
        yield plane


def test_the_pods_of_vmguard_are_admitted_by_its_own_policy_alone(with_policies, tmp_path):
    """The Deployment's real controller makes them."""
    plane = with_policies
    applied(plane, overlay(tmp_path / "without"))
    failed_create(plane, NAMESPACE, "PodSecurityPolicy: unable to")
    applied(plane, overlay(tmp_path / "with", ["psp"]))
    patch = {"spec": {"template": {"metadata": {"annotations": {"example.com/restarted": "now"}}}}}
    plane.api.patch("apps/v1", "Deployment", "vmguard", patch, NAMESPACE)
    pods = wait_for(lambda: plane.api.list("v1", "Pod", NAMESPACE), "the pods")
    assert {each["metadata"]["annotations"]["kubernetes.io/psp"] for each in pods} == {"vmguard"}
    assert all(each["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"} for each in pods)


def test_a_pod_of_vmguards_account_that_is_weaker_than_its_policy_is_refused(with_policies, tmp_path):
    """Tried as the controller would, without the permission of an administrator."""
    plane = with_policies
    deployment = applied(plane, overlay(tmp_path / "with", ["psp"]))
    account = plane.api_with(plane.token(NAMESPACE, "vmguard"))
    creator = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
    role = {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": "creator"}, "rules": [creator]}
    plane.api.create(role, NAMESPACE)
    subject = {"kind": "ServiceAccount", "name": "vmguard", "namespace": NAMESPACE}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "creator"}
    binding = {"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "creator"}}
    plane.api.create({**binding, "roleRef": reference, "subjects": [subject]}, NAMESPACE)
    pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(deployment["spec"]["template"])}
    pod["metadata"]["name"] = "tried"
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"

    def answer(changed):
        try:
            account.request("POST", path, changed, dryRun="All")
        except ApiError as error:
            return str(error)
        return ""

    wait_for(lambda: answer(pod) == "", "the role and the policy to be in force")
    for field, value in (("privileged", True), ("readOnlyRootFilesystem", False), ("runAsUser", 0)):
        weak = copy.deepcopy(pod)
        weak["spec"]["containers"][0]["securityContext"][field] = value
        assert "PodSecurityPolicy: unable to" in answer(weak), field
    for field in ("hostNetwork", "hostPID"):
        assert "PodSecurityPolicy: unable to" in answer({**pod, "spec": {**pod["spec"], field: True}})


def test_with_default_policies_the_leader_makes_them_by_the_permissions_of_the_component(with_policies, tmp_path):
    plane = with_policies
    deployment = applied(plane, overlay(tmp_path / "overlay", ["default-policies"]))
    settings = container_environment(deployment)
    assert settings["VM_PSPAUTOCREATEENABLED"] == "true"
    config = plane.kubeconfig_with(plane.token(NAMESPACE, "vmguard"), "default-policies")
    namespace = plane.namespace("made-for")
    plane.api.create(custom_resource("db"), namespace)
    addresses = {"VMGUARD_LISTEN": "127.0.0.1:0", "VMGUARD_SHUTDOWN_DELAY": "0"}
    (tmp_path / "server").mkdir()
    with starting_cluster(tmp_path / "server", config, own_certificate=True, **settings | addresses) as server:
        wait_for(lambda: plane.api.find(*PSP, "vmsingle-db"), "the default policy")
        role = wait_for(lambda: plane.api.find(RBAC, "Role", "vmguard:vmsingle-db", namespace), "its role")
        assert role["rules"][0]["resourceNames"] == ["vmsingle-db"]
        assert not [line for line in server.lines() if "may not" in line.get("reason", "")]
