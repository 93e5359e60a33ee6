"""References to PodSecurityPolicies are checked on the last version that serves them and on the newest.

The API server passes vmguard's warnings and denials on to kubectl and to the controllers that create pods.
"""

import itertools
import json
import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.registration import registered
from tests.controlplane.stand_in_operator import recreate
from tests.controlplane.versions import OLDEST_AND_NEWEST, WITH_POLICIES
from tests.support.accounts import Account
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, bare_pod, failed_create
from tests.support.labelled_guard import LabelledGuard
from tests.support.resource_manifests import PSP, naming_policy, pod_security_policy
from tests.support.reverse_proxy import reverse_proxied
from tests.support.sample_pods import owned_by
from tests.support.server import serving_cluster
from webhook.manifests.crds import closed, definition
from webhook.policy.components import COMPONENTS, PARENTS
from webhook.policy.custom_resources import BY_KIND, GROUP

REMOVED = "but policy/v1beta1 was removed in Kubernetes 1.25: take the field out"
_COUNT = itertools.count(1)

PLACES = [
    *((component.kind, component.path[1:]) for component in COMPONENTS),
    *((kind, ()) for kind in dict.fromkeys(component.kind for component in COMPONENTS if component.path[1:])),
    *((kind, (child.field, "spec")) for kind, made in PARENTS.items() for child in made.values() if child.shared),
]


@pytest.fixture(params=OLDEST_AND_NEWEST)
def cluster(request):
    """A vmguard in each version."""
    old = request.param == WITH_POLICIES
    return PolicyCluster(request.getfixturevalue("guard_124" if old else "guard"), serves=old)


class PolicyCluster:
    """The vmguard of one version; `serves` is whether that version has policies."""

    def __init__(self, guard, *, serves):
        self.guard = guard
        self.serves = serves
        self.guarding = guard(**STRICT_SECURITY)
        self.plane, self.api = self.guarding.plane, self.guarding.plane.api

    def policy(self, name=""):
        """Make a policy, where they are served; its name."""
        name = name or f"policy-{next(_COUNT)}"
        if self.serves:
            self.api.create(pod_security_policy(name))
        return name

    def forget(self, name):
        if self.serves:
            self.api.delete(*PSP, name)


def refused(api, thing, namespace, **query):
    """The message of a refusal."""
    with pytest.raises(ApiError) as told:
        api.create(thing, namespace, **query)
    assert told.value.status == 403
    return told.value.body["message"]


@pytest.mark.parametrize(
    ("kind", "path"), PLACES, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_a_resource_that_names_a_policy_is_accepted_only_if_the_policy_exists(cluster, kind, path):
    namespace = cluster.guarding.namespace()
    name = cluster.policy()
    missing = naming_policy(f"{name}-x", kind, path)
    message = refused(cluster.api, missing, namespace)
    place = ".".join((f"{kind} {namespace}/{missing['metadata']['name']} spec", *path, "podSecurityPolicyName"))
    if cluster.serves:
        assert f"{place} names PodSecurityPolicy '{name}-x', which does not exist; existing names like it: " in message
        assert name in message
        cluster.api.create(naming_policy(name, kind, path), namespace)
    else:
        assert f"{place} names PodSecurityPolicy '{name}-x', {REMOVED}" in message
        assert REMOVED in refused(cluster.api, naming_policy(name, kind, path), namespace)


def test_made_or_deleted_a_moment_before_it_is_that_for_everybody(cluster):
    """In turns, so that nothing that was seen before can be the answer."""
    namespace = cluster.guarding.namespace()
    for _ in range(10):
        name = cluster.policy("now-and-then")
        if cluster.serves:
            cluster.api.create(naming_policy(name), namespace)
        cluster.forget(name)
        message = refused(cluster.api, naming_policy(name), namespace)
        assert ("which does not exist" in message) is cluster.serves
        assert not re.search(r"like it: [^:]*now-and-then", message)


def test_a_server_side_dry_run_gets_the_same_warnings(cluster):
    namespace = cluster.guarding.namespace()
    name = cluster.policy()
    assert refused(cluster.api, naming_policy("no-such-policy"), namespace, dryRun="All")
    done = cluster.plane.kubectl(
        "apply", "--dry-run=server", "-n", namespace, "-f", "-", stdin=json.dumps(naming_policy(name))
    )
    assert (done.returncode == 0) is cluster.serves
    assert (REMOVED in done.stderr) is not cluster.serves
    assert not cluster.api.list(f"{GROUP}/v1beta1", "VMSingle", namespace)


def test_an_update_that_leaves_the_name_is_never_refused_and_one_that_changes_it_is(cluster):
    namespace = cluster.plane.namespace(f"before-us-{next(_COUNT)}")
    thing = naming_policy("no-such-policy")
    cluster.api.create(thing, namespace)
    label = {"metadata": {"labels": {"vmguard-test": cluster.guarding.label}}}
    cluster.api.patch("v1", "Namespace", namespace, label)
    where = f"{GROUP}/v1beta1", "VMSingle", thing["metadata"]["name"]
    wait_until_asked(cluster, namespace)
    cluster.api.patch(*where, {"spec": {"retentionPeriod": "2"}}, namespace)
    assert any("no-such-policy" in warning for warning in cluster.api.warnings)
    with pytest.raises(ApiError, match="another-one"):
        cluster.api.patch(*where, {"spec": {"podSecurityPolicyName": "another-one"}}, namespace)
    cluster.api.patch(*where, {"spec": {"podSecurityPolicyName": None}}, namespace)


def wait_until_asked(cluster, namespace):
    """A label of a namespace takes a moment to count."""

    def asked():
        try:
            cluster.api.create(naming_policy("no-such-policy"), namespace, dryRun="All")
        except ApiError:
            return True
        return False

    wait_for(asked, "the label to count")


def test_a_pod_whose_resource_names_a_policy_that_is_gone(cluster):
    """Where the API is gone too the pod is made: an upgraded cluster must be able to restart its pods."""
    namespace = cluster.plane.namespace(f"upgraded-{next(_COUNT)}")
    made = recreate(VMSINGLE, cluster.api, namespace)
    made.pod()
    single = made.one("VMSingle")["metadata"]["name"]
    spec = {"spec": {"podSecurityPolicyName": "gone-by-now"}}
    cluster.api.patch(f"{GROUP}/v1beta1", "VMSingle", single, spec, namespace)
    cluster.api.patch("v1", "Namespace", namespace, {"metadata": {"labels": {"vmguard-test": cluster.guarding.label}}})
    wait_until_asked(cluster, namespace)
    template = {"metadata": {"annotations": {"again": "1"}}}
    name = made.one("Deployment")["metadata"]["name"]
    cluster.api.patch("apps/v1", "Deployment", name, {"spec": {"template": template}}, namespace)
    if cluster.serves:
        told = failed_create(cluster.plane, namespace, "which does not exist")
        assert f"VMSingle {namespace}/{single} spec.podSecurityPolicyName names PodSecurityPolicy 'gone-by-now'" in told
        return

    def again():
        pods = cluster.api.list("v1", "Pod", namespace)
        return [pod for pod in pods if "again" in pod["metadata"].get("annotations", {})]

    (pod,) = wait_for(again, "the pod")
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert "pod-security-policy=1" in cluster.guarding.audited(namespace)["rules"]


def test_a_pods_own_annotation_is_a_reference(cluster):
    namespace = cluster.guarding.namespace()
    owner = owner_of_pods(cluster, namespace)
    name = cluster.policy()
    pod = bare_pod("named", owner)
    pod["metadata"]["annotations"] = {"kubernetes.io/psp": name}
    cluster.api.create(pod, namespace)
    pod = bare_pod("missing", owner)
    pod["metadata"]["annotations"] = {"kubernetes.io/psp": "no-such-policy"}
    said = f"Pod {namespace}/missing annotation kubernetes.io/psp names PodSecurityPolicy 'no-such-policy'"
    if cluster.serves:
        assert said in refused(cluster.api, pod, namespace)
    else:
        cluster.api.create(pod, namespace)
        assert any(said in warning and REMOVED in warning for warning in cluster.api.warnings)


def owner_of_pods(cluster, namespace):
    """A StatefulSet of a VMSingle that makes no pods itself."""
    single = cluster.api.create(naming_policy(None), namespace)
    metadata = {
        "name": f"vmsingle-{single['metadata']['name']}",
        "labels": {"managed-by": "vm-operator", "app.kubernetes.io/name": "vmsingle"},
        "ownerReferences": owned_by(single),
    }
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    spec = {"serviceName": "s", "replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    kind = {"apiVersion": "apps/v1", "kind": "StatefulSet"}
    made = cluster.api.create({**kind, "metadata": metadata, "spec": spec}, namespace)
    return owned_by({**kind, **made})[0]


def let_through_or_told(cluster, guarding, why):
    """What could not be asked never denies: resource and pod come through, and warning, log and metric say why."""
    namespace = guarding.namespace()
    pod = bare_pod("p", owner_of_pods(cluster, namespace))
    pod["metadata"]["annotations"] = {"kubernetes.io/psp": "no-such-policy"}
    if not cluster.serves:  # which discovery has said: nothing need be asked
        assert REMOVED in refused(cluster.api, naming_policy("no-such-policy"), namespace)
        cluster.api.create(pod, namespace)
        assert any(REMOVED in warning for warning in cluster.api.warnings)
        return
    for thing in (naming_policy("no-such-policy"), pod):
        cluster.api.create(thing, namespace)
        (warning, *_) = [each for each in cluster.api.warnings if "pod-security-policy" in each]
        assert "whether it exists is not known: " in warning
        assert why in warning
    counted = re.search(
        r'^vmguard_findings_total\{kind="warn",rule="pod-security-policy"\} (\S+)',
        guarding.server.operation("/metrics")[1],
        re.MULTILINE,
    )
    assert float(counted[1]) >= 2
    assert any("pod-security-policy=1" in line["rules"] for line in guarding.decisions(namespace))


def test_forbidden_lets_through_with_a_warning(cluster):
    account = Account(cluster.plane).lack("get podsecuritypolicies")
    let_through_or_told(
        cluster, cluster.guard(account.kubeconfig, **STRICT_SECURITY), "may not get podsecuritypolicies.policy"
    )


@pytest.mark.parametrize(
    ("code", "why"), [(429, "HTTP 429"), (503, "HTTP 503"), (0, "no answer from the API server in time")]
)
def test_throttled_or_late_lets_through_with_a_warning(cluster, code, why, tmp_path):
    label = f"behind-{next(_COUNT)}"
    with ExitStack() as stack:
        proxy = stack.enter_context(reverse_proxied(cluster.plane, "/podsecuritypolicies/", tmp_path))
        server = stack.enter_context(serving_cluster(tmp_path, proxy.kubeconfig, **STRICT_SECURITY))
        stack.enter_context(registered(cluster.plane, server.url, Path(server.ca).read_bytes(), label, seconds=5))
        proxy.code = code
        let_through_or_told(cluster, LabelledGuard(cluster.plane, server, label), why)


@pytest.mark.parametrize(("kind", "path"), [("VMAnomaly", ()), ("VLCluster", ("vlselect",))])
def test_where_the_served_definition_lacks_the_field_it_is_pruned_and_readiness_says_so(cluster, kind, path):
    """vmguard denies no reference that it cannot see; a closed definition with the field shows it again."""
    namespace = cluster.guarding.namespace()
    place = ".".join((f"{kind} spec", *path))
    try:
        serve(cluster, kind, closed(kind, names_policies=False))
        wait_for(lambda: pruned(cluster, kind, path, namespace), "the field to be pruned")
        if cluster.serves:
            wait_for(lambda: place in told_of_references(cluster), "readiness to say so")
        else:
            assert told_of_references(cluster) == "", "no policy is served that a resource could name"
        kept = cluster.api.create(naming_policy("no-such-policy", kind, path, useStrictSecurity=True), namespace)[
            "spec"
        ]
        for field in path:
            kept = kept[field]
        assert kept == {"useStrictSecurity": True}
        serve(cluster, kind, closed(kind, names_policies=True))
        wait_for(lambda: not pruned(cluster, kind, path, namespace), "the field to be seen")
        wait_for(lambda: place not in told_of_references(cluster), "readiness to say so")
    finally:
        serve(cluster, kind, None)
    if cluster.serves:
        wait_for(lambda: "can be seen in every resource" in told_of_references(cluster), "readiness to say so")


def serve(cluster, kind, schema):
    """Let a kind have this schema of its spec, None for the usual one."""
    resource = BY_KIND[kind]
    wanted = definition(resource, schema) if schema else definition(resource)
    where = "apiextensions.k8s.io/v1", "CustomResourceDefinition", wanted["metadata"]["name"]
    wanted["metadata"]["resourceVersion"] = cluster.api.get(*where)["metadata"]["resourceVersion"]
    cluster.api.replace(wanted)


def pruned(cluster, kind, path, namespace):
    """Whether a resource that names no existing policy comes through."""
    try:
        cluster.api.create(naming_policy("no-such-policy", kind, path), namespace, dryRun="All")
    except ApiError:
        return False
    return True


def told_of_references(cluster):
    text = cluster.guarding.server.operation("/readyz?verbose")[1]
    found = re.search(r"^\[i\]policy-references (.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def test_with_watch_namespace_it_is_not_known_whether_a_reference_can_be_seen(plane_124, tmp_path):
    with serving_cluster(tmp_path, plane_124.kubeconfig(), WATCH_NAMESPACE="default") as server:
        text = server.operation("/readyz?verbose")[1]
    assert "[i]policy-references not known: definitions belong to the cluster" in text
