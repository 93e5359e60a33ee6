"""Default PodSecurityPolicies admit strict pods on Kubernetes 1.24 with the plugin that enforces them."""

import itertools
import re
from contextlib import contextmanager

import pytest
import yaml

from tests.controlplane.api import wait_for
from tests.controlplane.plane import API_SERVER, control_plane
from tests.controlplane.stand_in_operator import recreate
from tests.controlplane.versions import WITH_POLICIES
from tests.support.accounts import RBAC, granted
from tests.support.admission_pods import STRICT_SECURITY, failed_create
from tests.support.golden import CASES, Older
from tests.support.labelled_guard import labelled_guards
from tests.support.patience import PATIENCE
from tests.support.resource_manifests import PSP, custom_resource, naming_policy, pod_security_policy
from tests.support.sample_pods import owned_by
from tests.support.server import ROOT, serving_cluster, starting_cluster
from webhook.leader.psp_objects import LABEL
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.custom_resources import GROUP

LEASE = ("coordination.k8s.io/v1", "Lease")
MADE = {"VM_PSPAUTOCREATEENABLED": "true", "VMGUARD_PSP_BINDABLE": "bindable, also-bindable", **STRICT_SECURITY}
WORKLOADS = {"Deployment", "StatefulSet"}
_COUNT = itertools.count(1)


def of_every_kind():
    """A recorded case of each kind; the default policy allows no hostPath, which is what DaemonSets are for."""
    cases = [Older(case.path) for case in CASES if case.category == "strict"]
    return {case.kind: case for case in reversed(cases) if not any(o["kind"] == "DaemonSet" for o in case.objects)}


STRICT_CASES = of_every_kind()
NEVER_RECORDED = {"VTAgent", "VMEstimator"}
"""Kinds that are newer than every operator that was recorded."""


@pytest.fixture(scope="module")
def enforcing(can_have_policies):
    """A control plane where no pod is made without a policy that its maker or its account may use."""
    flags = {API_SERVER: ["--enable-admission-plugins=PodSecurityPolicy"]}
    with control_plane(WITH_POLICIES, flags=flags) as plane:
        plane.install_resources()
        plane.api.create(pod_security_policy("for-administrators"))  # who may use any; nobody else is let use it
        yield plane


@pytest.fixture(scope="module")
def guarding(enforcing, tmp_path_factory):
    """A vmguard whose leader makes default policies."""
    with labelled_guards(enforcing, tmp_path_factory) as started:
        yield started(**MADE)


def bound(plane, namespace, made):
    """The policies that the account of a resource may use by what vmguard made, once there is that."""

    def both():
        role = plane.api.find(RBAC, "Role", f"vmguard:{made}", namespace)
        binding = plane.api.find(RBAC, "RoleBinding", f"vmguard:{made}", namespace)
        return (role, binding) if role and binding else None

    role, binding = wait_for(both, f"the role of {made} in {namespace}")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"], rule["verbs"]) == (["policy"], ["podsecuritypolicies"], ["use"])
    return rule["resourceNames"]


def one_bound(enforcing, guarding, prefix):
    """Namespace and policy of a new resource that is bound to its default policy."""
    namespace, name = guarding.namespace(), unused(prefix)
    enforcing.api.create(custom_resource(name), namespace)
    bound(enforcing, namespace, f"vmsingle-{name}")
    return namespace, f"vmsingle-{name}"


def event(plane, namespace, reason):
    """The message of an event of ours, once there is one."""

    def found():
        return [e for e in plane.api.list("v1", "Event", namespace) if e["reason"] == reason]

    return wait_for(found, f"an event {reason}")[0]["message"]


def unused(name):
    return f"{name}{next(_COUNT)}"


@pytest.mark.parametrize("case", STRICT_CASES.values(), ids=STRICT_CASES)
def test_strict_pods_of_every_kind_are_admitted_through_exactly_their_policy(enforcing, guarding, case):
    """Recorded as an operator without security settings made them; the leader comes before or after the workload."""
    namespace = guarding.namespace()
    made = recreate(case, enforcing.api, namespace)
    pod = made.pod()
    workload = next(each for each in made.objects if each["kind"] in WORKLOADS)
    (owner,) = workload["metadata"]["ownerReferences"]
    name = f"{owner['kind'].lower()}-{owner['name']}"
    assert pod["metadata"]["annotations"]["kubernetes.io/psp"] == name
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert bound(enforcing, namespace, name) == [name]
    spec = enforcing.api.get(*PSP, name)["spec"]
    assert spec["requiredDropCapabilities"] == ["ALL"]


def test_every_kind_that_makes_pods_has_a_case():
    assert STRICT_CASES.keys() == {*BY_KIND, *PARENTS} - NEVER_RECORDED


def test_a_pod_that_breaks_its_policy_is_refused(enforcing, guarding):
    namespace = guarding.namespace()
    name = unused("breaks")
    single = enforcing.api.create(custom_resource(name), namespace)
    made = f"vmsingle-{name}"
    bound(enforcing, namespace, made)
    spec = {"serviceAccountName": made, "hostPID": True, "containers": [{"name": "x", "image": "x"}]}
    workload(enforcing, namespace, single, spec)
    told = failed_create(enforcing, namespace, "Host PID is not allowed to be used")
    assert "PodSecurityPolicy: unable to admit pod" in told


def test_a_pod_without_a_profile_is_given_the_runtimes(enforcing, guarding):
    """The plugin refuses a pod that says none where some are allowed, unless the policy has a default."""
    namespace = guarding.namespace()
    name = unused("silent")
    single = enforcing.api.create(custom_resource(name, useStrictSecurity=False), namespace)
    bound(enforcing, namespace, f"vmsingle-{name}")
    spec = {"serviceAccountName": f"vmsingle-{name}", "containers": [{"name": "vmsingle", "image": "x"}]}
    workload(enforcing, namespace, single, spec)
    (pod,) = wait_for(lambda: enforcing.api.list("v1", "Pod", namespace), "the pod")
    assert pod["spec"]["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}


def workload(plane, namespace, owner, spec):
    """A StatefulSet of a resource, as an operator makes it."""
    labels = {"managed-by": "vm-operator", "app.kubernetes.io/name": "vmsingle"}
    name = f"vmsingle-{owner['metadata']['name']}"
    metadata = {"name": name, "labels": labels, "ownerReferences": owned_by(owner)}
    template = {"metadata": {"labels": labels}, "spec": spec}
    made = {"serviceName": "s", "selector": {"matchLabels": labels}, "template": template}
    thing = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": made}
    return plane.api.create(thing, namespace)


def test_two_of_one_name_share_the_policy_and_nothing_else_and_the_last_takes_it_along(enforcing, guarding):
    one, other = guarding.namespace(), guarding.namespace()
    name = unused("shared")
    made = f"vmsingle-{name}"
    uids = {place: enforcing.api.create(custom_resource(name), place)["metadata"]["uid"] for place in (one, other)}
    for place, uid in uids.items():
        assert bound(enforcing, place, made) == [made]
        for kind in ("Role", "RoleBinding"):
            thing = enforcing.api.get(RBAC, kind, f"vmguard:{made}", place)
            assert [owner["uid"] for owner in thing["metadata"]["ownerReferences"]] == [uid]
        account = wait_for(lambda place=place: enforcing.api.find("v1", "ServiceAccount", made, place), "the account")
        assert account["metadata"]["ownerReferences"][0]["uid"] == uid
    policy_uid = enforcing.api.get(*PSP, made)["metadata"]["uid"]
    enforcing.api.delete(f"{GROUP}/v1beta1", "VMSingle", name, one)
    wait_for(lambda: not enforcing.api.find(RBAC, "Role", f"vmguard:{made}", one), "the garbage collector")
    assert enforcing.api.get(*PSP, made)["metadata"]["uid"] == policy_uid
    assert bound(enforcing, other, made) == [made]
    enforcing.api.delete(f"{GROUP}/v1beta1", "VMSingle", name, other)
    wait_for(lambda: not enforcing.api.find(*PSP, made), "the end of the policy")


def test_what_is_changed_or_deleted_is_put_back(enforcing, guarding):
    namespace, made = one_bound(enforcing, guarding, "kept")
    enforcing.api.patch(*PSP, made, {"spec": {"allowPrivilegeEscalation": True, "volumes": ["*"]}})
    enforcing.api.delete(RBAC, "Role", f"vmguard:{made}", namespace)

    def put_back():
        spec = enforcing.api.get(*PSP, made)["spec"]
        return spec["allowPrivilegeEscalation"] is False and "*" not in spec["volumes"]

    wait_for(put_back, "the policy to be as it was")
    assert bound(enforcing, namespace, made) == [made]


def test_a_foreign_policy_of_the_name_is_not_changed_and_no_account_is_bound_to_it(enforcing, guarding):
    """Otherwise a user who may name a resource could get a policy that has this name by chance."""
    namespace = guarding.namespace()
    name = unused("foreign")
    made = f"vmsingle-{name}"
    before = enforcing.api.create(pod_security_policy(made, privileged=True))
    enforcing.api.create(custom_resource(name), namespace)
    assert f"vmguard did not create PodSecurityPolicy '{made}'" in event(enforcing, namespace, "PolicyNotOurs")
    assert enforcing.api.get(*PSP, made) == before
    assert not enforcing.api.find(RBAC, "Role", f"vmguard:{made}", namespace)
    gauge = f'vmguard_policy_troubles{{namespace="{namespace}",reason="not-ours"}} 1.0'
    assert gauge in guarding.server.operation("/metrics")[1]
    enforcing.api.delete(f"{GROUP}/v1beta1", "VMSingle", name, namespace)
    wait_for(lambda: gauge not in guarding.server.operation("/metrics")[1], "the trouble's end")
    assert enforcing.api.get(*PSP, made) == before, "what is not ours is not removed either"
    enforcing.api.delete(*PSP, made)


def test_a_policy_that_becomes_foreign_is_taken_from_who_was_bound_to_it(enforcing, guarding):
    namespace, made = one_bound(enforcing, guarding, "becomes")
    enforcing.api.patch(*PSP, made, {"metadata": {"labels": {LABEL: "somebody"}}, "spec": {"privileged": True}})
    wait_for(lambda: not enforcing.api.find(RBAC, "RoleBinding", f"vmguard:{made}", namespace), "the binding's end")
    assert enforcing.api.get(*PSP, made)["spec"]["privileged"] is True
    enforcing.api.delete(*PSP, made)
    assert bound(enforcing, namespace, made) == [made]


def test_a_foreign_role_is_left_as_it_is(enforcing, guarding):
    namespace = guarding.namespace()
    name = unused("role")
    place = RBAC, "Role", f"vmguard:vmsingle-{name}"
    role = {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": place[2]}, "rules": []}
    before = enforcing.api.create(role, namespace)
    enforcing.api.create(custom_resource(name), namespace)
    assert "is not vmguard's and is left as it is" in event(enforcing, namespace, "PolicyNotOurs")
    assert enforcing.api.get(*place, namespace) == before


def test_an_account_that_is_there_is_left_as_it_is_and_one_that_is_named_is_bound(enforcing, guarding):
    namespace = guarding.namespace()
    name = unused("account")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": f"vmsingle-{name}"}}
    before = enforcing.api.create(account, namespace)
    enforcing.api.create(custom_resource(name), namespace)
    enforcing.api.create(custom_resource(f"{name}-own", serviceAccountName="mine"), namespace)
    bound(enforcing, namespace, f"vmsingle-{name}")
    bound(enforcing, namespace, f"vmsingle-{name}-own")
    after = enforcing.api.get("v1", "ServiceAccount", f"vmsingle-{name}", namespace)["metadata"]
    assert (after["uid"], after.get("labels")) == (before["metadata"]["uid"], None)
    assert not enforcing.api.find("v1", "ServiceAccount", "mine", namespace)
    assert not enforcing.api.find("v1", "ServiceAccount", f"vmsingle-{name}-own", namespace)
    (subject,) = enforcing.api.get(RBAC, "RoleBinding", f"vmguard:vmsingle-{name}-own", namespace)["subjects"]
    assert (subject["kind"], subject["name"], subject["namespace"]) == ("ServiceAccount", "mine", namespace)


def test_a_policy_that_a_resource_names_is_bound_if_bindable_and_else_reported(enforcing, guarding):
    namespace = guarding.namespace()
    for each in ("bindable", "unbindable"):
        enforcing.api.create(pod_security_policy(each, privileged=each == "unbindable"))
    try:
        may, may_not = naming_policy("bindable"), naming_policy("unbindable")
        for each in (may, may_not):
            enforcing.api.create(each, namespace)
        made = {
            each["spec"]["podSecurityPolicyName"]: f"vmsingle-{each['metadata']['name']}" for each in (may, may_not)
        }
        assert bound(enforcing, namespace, made["bindable"]) == ["bindable"]
        message = event(enforcing, namespace, "PolicyNotBindable")
        assert "names PodSecurityPolicy 'unbindable', which vmguard may not bind: add it to VMGUARD_PSP_BIND" in message
        assert any(line["message"] == "policy not bound" for line in guarding.server.lines())
        assert not enforcing.api.find(RBAC, "Role", f"vmguard:{made['unbindable']}", namespace)
        assert not enforcing.api.find(*PSP, made["bindable"])
        where = f"{GROUP}/v1beta1", "VMSingle", may["metadata"]["name"]
        enforcing.api.patch(*where, {"spec": {"podSecurityPolicyName": "unbindable"}}, namespace)
        gone = f"vmguard:{made['bindable']}"
        wait_for(lambda: not enforcing.api.find(RBAC, "RoleBinding", gone, namespace), "the binding's end")
    finally:
        for each in ("bindable", "unbindable"):
            enforcing.api.delete(*PSP, each)


def test_a_cluster_whose_one_component_names_a_policy_may_use_both(enforcing, guarding):
    namespace = guarding.namespace()
    name = unused("parts")
    enforcing.api.create(pod_security_policy("also-bindable"))
    try:
        parts = {"vmselect": {"podSecurityPolicyName": "also-bindable"}, "vminsert": {}}
        enforcing.api.create(custom_resource(name, "VMCluster", **parts), namespace)
        assert bound(enforcing, namespace, f"vmcluster-{name}") == ["also-bindable", f"vmcluster-{name}"]
    finally:
        enforcing.api.delete(*PSP, "also-bindable")


def test_the_next_leader_goes_on_and_cleans_up_what_ended_meanwhile(plane_124, tmp_path_factory):
    """Without a leader, one resource ends and another begins. No other leader makes policies in this control plane."""
    namespace = plane_124.namespace(unused("leaders-"))
    environment = {**MADE, "POD_NAMESPACE": namespace}
    first, second, third = (unused("led") for _ in range(3))

    def made(name):
        return wait_for(lambda: plane_124.api.find(*PSP, f"vmsingle-{name}"), "the policy")

    def leader():
        spec = (plane_124.api.find(*LEASE, "vmguard", namespace) or {}).get("spec", {})
        return spec.get("holderIdentity")

    with leading(plane_124, tmp_path_factory, environment) as one:
        wait_for(leader, "a leader")
        with leading(plane_124, tmp_path_factory, environment) as other:
            plane_124.api.create(custom_resource(first), namespace)
            made(first)
            assert one.metric_of_leader() + other.metric_of_leader() == 1
            one.server.end()
            plane_124.api.create(custom_resource(second), namespace)
            made(second)
            wait_for(lambda: other.metric_of_leader() == 1, "the other to lead")
    plane_124.api.delete(f"{GROUP}/v1beta1", "VMSingle", first, namespace)
    plane_124.api.create(custom_resource(third), namespace)
    with leading(plane_124, tmp_path_factory, environment):
        made(third)
        wait_for(lambda: not plane_124.api.find(*PSP, f"vmsingle-{first}"), "the end of the first policy")
        assert plane_124.api.find(*PSP, f"vmsingle-{second}")


class Leading:
    """A server that takes part in the election."""

    def __init__(self, server):
        self.server = server

    def metric_of_leader(self):
        text = self.server.operation("/metrics")[1]
        return float(re.search(r'^leader_election_master_status\{name="vmguard"\} (\S+)$', text, re.MULTILINE)[1])


@contextmanager
def leading(plane, tmp_path_factory, environment, kubeconfig=None):
    with serving_cluster(tmp_path_factory.mktemp("leader"), kubeconfig or plane.kubeconfig(), **environment) as server:
        yield Leading(server)


@pytest.mark.parametrize("may_use", [True, False])
def test_the_leader_needs_the_documented_permissions_and_binds_only_what_it_may_itself_use(
    plane_124, tmp_path_factory, may_use
):
    """A role that goes beyond what its writer may do is refused by the API server."""
    namespace = plane_124.namespace(unused("permitted-"))
    rules = [*READING, *documented_rules()]
    if not may_use:
        rules = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "use"]} for rule in rules]
    kubeconfig = granted(plane_124, f"leader-{next(_COUNT)}", rules)
    name = unused("permitted")
    with leading(plane_124, tmp_path_factory, {**MADE, "POD_NAMESPACE": namespace}, kubeconfig) as leader:
        plane_124.api.create(custom_resource(name), namespace)
        if may_use:
            assert bound(plane_124, namespace, f"vmsingle-{name}") == [f"vmsingle-{name}"]
            assert plane_124.api.find("v1", "ServiceAccount", f"vmsingle-{name}", namespace)
            plane_124.api.delete(f"{GROUP}/v1beta1", "VMSingle", name, namespace)
            wait_for(lambda: not plane_124.api.find(*PSP, f"vmsingle-{name}"), "the end of the policy")
            wrong = [line for line in leader.server.lines() if line["level"] in {"warning", "error"}]
            assert not [line for line in wrong if name in str(line) or " the rule " in str(line)]
        else:
            assert "attempting to grant RBAC permissions not currently held" in event(
                plane_124, namespace, "PolicyFailed"
            )
            assert not plane_124.api.find(RBAC, "RoleBinding", f"vmguard:vmsingle-{name}", namespace)


READING = [
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "get", "patch"]},
    {"apiGroups": [GROUP, "apps"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["list", "watch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
]


def documented_rules():
    """The rules that docs/design.md prints."""
    text = (ROOT / "docs" / "design.md").read_text()
    return yaml.safe_load(re.search(r"```yaml\n(- apiGroups: \[policy\].*?)```", text, re.DOTALL)[1])


def test_without_the_api_the_setting_stops_the_start_with_one_line(plane, tmp_path):
    with starting_cluster(tmp_path, plane.kubeconfig(), **MADE) as server:
        assert server.process.wait(PATIENCE) == 2
    text = server.log.read_text()
    last = text.splitlines()[-1]
    assert last == (
        "vmguard serve: VM_PSPAUTOCREATEENABLED=true: policy/v1beta1 was removed in Kubernetes 1.25: unset it"
    )
    assert "Traceback" not in text


def test_with_watch_namespace_the_setting_stops_the_start_with_one_line(plane_124, tmp_path):
    with starting_cluster(tmp_path, plane_124.kubeconfig(), WATCH_NAMESPACE="x", **MADE) as server:
        assert server.process.wait(PATIENCE) == 2
    assert server.log.read_text().startswith("vmguard serve: VM_PSPAUTOCREATEENABLED=true needs the whole cluster")
