"""vmguard runs with the roles of `deploy/rbac` and nothing more; people may do what their roles say."""

import copy
import re
import shlex
import urllib.error
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import yaml

from certs import AUTHORITY_LIFETIME, AUTHORITY_NAME, Authority, Rotation
from tests.controlplane.api import ApiError, wait_for
from tests.controlplane.versions import WITH_POLICIES
from tests.support.accounts import RBAC_GROUP
from tests.support.egress import egress_of
from tests.support.release import release
from tests.support.server import ROOT, starting_cluster
from webhook.manifests.roles import InstallationNames, permissions, roles
from webhook.policy.custom_resources import GROUP, RESOURCES

READING = {"get", "list", "watch"}
WRITING = {"create", "delete", "deletecollection", "patch", "update"}


@pytest.fixture(scope="module", params=["1.24", "1.37"])
def cluster(request):
    """A control plane of each version, and the way to its Services."""
    plane = request.getfixturevalue("plane_124" if request.param == "1.24" else "plane")
    with egress_of(plane) as egress:
        yield plane, egress


@pytest.fixture
def installation(cluster, tmp_path):
    """An installation with its configurations and its ServiceAccount, without roles."""
    plane, egress = cluster
    with release(plane, egress, tmp_path) as made:
        made.configure()
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "vmguard"}}
        plane.api.create(account, made.namespace)
        yield made


def _names(installation):
    """InstallationNames of roles are those of the account in a real installation; here several share a cluster."""
    return InstallationNames(installation.namespace, "vmguard", installation.service, installation.name, "vmguard")


def _apply(installation, made):
    for each in made:
        thing = copy.deepcopy(each)
        if "Cluster" in each["kind"]:
            thing["metadata"]["name"] = installation.name
            if "roleRef" in thing:
                thing["roleRef"]["name"] = installation.name
        installation.plane.api.create(thing, thing["metadata"].get("namespace", ""))


def _kubeconfig(installation):
    token = installation.plane.token(installation.namespace, "vmguard")
    return installation.plane.kubeconfig_with(token, installation.name)


def _complaints(server):
    """What the log and readiness say of missing permissions."""
    lines = [line.get("reason", "") for line in server.lines()]
    with suppress(urllib.error.URLError):  # not listening yet
        lines.append(server.operation("/readyz?verbose")[1])
    return "\n".join(lines).splitlines()


def test_vmguard_works_with_its_roles_and_nothing_more(installation):
    _apply(installation, roles(_names(installation)))
    server = installation.replica(_kubeconfig(installation))
    installation.ready(server)
    wait_for(installation.admits, "a pod to be admitted")
    wait_for(lambda: server.metric("vmguard_survey_timestamp_seconds") > 0, "a survey")
    assert installation.is_installed()
    assert not [each for each in _complaints(server) if "may not" in each or "forbidden" in each]


def test_with_watch_namespace_roles_suffice(installation):
    """An administrator has made the CA, as nothing of the cluster is written."""
    state = Rotation(
        Authority.create(
            AUTHORITY_NAME, now=datetime.now(UTC), lifetime=AUTHORITY_LIFETIME, only=installation.server_name
        )
    )
    installation.write_state(state)
    installation.install(state.bundle)
    _apply(installation, roles(_names(installation), (installation.pods,)))
    server = installation.replica(_kubeconfig(installation), WATCH_NAMESPACE=installation.pods)
    installation.ready(server)
    wait_for(installation.admits, "a pod to be admitted")
    wait_for(lambda: server.metric("vmguard_survey_timestamp_seconds") > 0, "a survey")
    complaints = [each for each in _complaints(server) if "may not" in each or "forbidden" in each]
    assert all("webhookconfigurations" in each for each in complaints), "it need not read them"


@pytest.mark.parametrize("missing", range(len(permissions(InstallationNames()))))
def test_each_rule_that_is_missing_is_named(installation, tmp_path, missing):
    """By verb and resource, in the log or in readiness."""
    lacking = permissions(_names(installation))[missing]
    if lacking.group == "policy" and installation.plane.version != WITH_POLICIES:
        pytest.skip("PodSecurityPolicies are not served")
    made = copy.deepcopy(roles(_names(installation)))
    for each in made:
        if "rules" in each:
            each["rules"] = [rule for rule in each["rules"] if rule != lacking.rule]
    _apply(installation, made)
    names = {
        "POD_NAMESPACE": installation.namespace,
        "VMGUARD_WEBHOOK_CONFIGURATION": installation.name,
        "VMGUARD_LISTEN": "127.0.0.1:0",
    }
    told = f"may not {lacking.verbs[0]} "
    with starting_cluster(tmp_path, _kubeconfig(installation), own_certificate=True, **names) as server:

        def named():
            return any(lacking.resources[0] in each and told in each for each in _complaints(server))

        wait_for(named, f"{told}{lacking.resources[0]} to be read in the log or in readiness")
        printed = [each for each in _complaints(server) if lacking.resources[0] in each and told in each]
    command = shlex.split(re.search(r"kubectl (patch (?:cluster)?role .*?[\]}]')", printed[0])[1])
    done = installation.plane.kubectl(*command)
    assert done.returncode == 0, done.stderr
    resource, name = ".".join(filter(None, (lacking.resources[0], lacking.group))), (*lacking.names, "")[0]
    account = f"system:serviceaccount:{installation.namespace}:vmguard"
    place = ("--namespace", installation.namespace) if lacking.place == "own" else ("--all-namespaces",)
    for verb in lacking.verbs:
        asked = (verb, f"{resource}/{name}" if name else resource, "--as", account, *place)
        allowed = installation.plane.kubectl("auth", "can-i", *asked)
        assert allowed.stdout.strip() == "yes", (asked, allowed.stderr)


@pytest.fixture(scope="module")
def people(cluster):
    """A viewer and an editor of every resource, each bound in one namespace by the shipped ClusterRoles."""
    plane, _ = cluster
    namespace = plane.namespace(f"people-{plane.version.replace('.', '-')}")
    for file in sorted((ROOT / "deploy" / "rbac").glob("*_role.yaml")):
        done = plane.kubectl("apply", "-f", str(file))
        assert done.returncode == 0, done.stderr
        role = yaml.safe_load(file.read_text())["metadata"]["name"]
        user = {"apiGroup": RBAC_GROUP, "kind": "User", "name": role}
        binding = {
            "apiVersion": f"{RBAC_GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role},
            "subjects": [user],
        }
        plane.api.create(binding, namespace)
    return plane, namespace


def _may(plane, user, verb, plural, namespace, sub=""):
    attributes = {"group": GROUP, "resource": plural, "subresource": sub, "verb": verb, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    return plane.api.create(review)["status"]["allowed"]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.kind)
def test_viewers_and_editors_may_do_what_their_roles_say(people, resource):
    """Asked of the API server: each verb on the resource, on its status, on another resource, in another namespace."""
    plane, namespace = people
    other = next(each for each in RESOURCES if each != resource)
    for what, allowed in (("viewer", READING), ("editor", READING | WRITING)):
        user = f"victoriametrics-{resource.singular}-{what}"
        assert {verb for verb in READING | WRITING if _may(plane, user, verb, resource.plural, namespace)} == allowed
        on_status = {
            verb for verb in READING | WRITING if _may(plane, user, verb, resource.plural, namespace, "status")
        }
        assert on_status == {"get"}
        assert not _may(plane, user, "get", other.plural, namespace)
        assert not _may(plane, user, "get", resource.plural, "default")


def test_an_editor_changes_a_resource_and_a_viewer_does_not(people):
    plane, namespace = people
    agent = {"apiVersion": f"{GROUP}/v1beta1", "kind": "VMAgent", "metadata": {"name": "x"}}
    viewing, editing = (plane.api_as(f"victoriametrics-vmagent-{what}") for what in ("viewer", "editor"))
    with pytest.raises(ApiError, match="cannot create resource"):
        viewing.create(agent, namespace)
    editing.create(agent, namespace)
    assert viewing.get(agent["apiVersion"], "VMAgent", "x", namespace)
    with pytest.raises(ApiError, match="cannot delete resource"):
        viewing.delete(agent["apiVersion"], "VMAgent", "x", namespace)
    editing.delete(agent["apiVersion"], "VMAgent", "x", namespace)
