"""Where OpenShift's security context constraints are served, vmguard says that they refuse its fixed user."""

from contextlib import contextmanager

from tests.controlplane.api import wait_for
from tests.support.admission_pods import STRICT_SECURITY
from tests.support.server import serving_cluster
from webhook.cluster.discovery import CONSTRAINTS_GROUP

CONSTRAINTS = f"securitycontextconstraints.{CONSTRAINTS_GROUP}"
DEFINITION = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
NOTE = "[!]openshift the API server serves security.openshift.io and VMGUARD_RUN_AS is 65534"


@contextmanager
def _openshift(plane):
    """The definition of the constraints is there, and their group is served, until the end of the block."""
    names = {
        "kind": "SecurityContextConstraints",
        "plural": "securitycontextconstraints",
        "singular": "securitycontextconstraints",
    }
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": CONSTRAINTS_GROUP, "names": names, "scope": "Cluster", "versions": [version]}
    head = dict(zip(("apiVersion", "kind"), DEFINITION, strict=True))
    plane.api.create({**head, "metadata": {"name": CONSTRAINTS}, "spec": spec})
    try:
        wait_for(lambda: plane.api.serves(f"{CONSTRAINTS_GROUP}/v1", names["kind"]), "the constraints to be served")
        yield
    finally:
        plane.api.delete(*DEFINITION, CONSTRAINTS)
        wait_for(lambda: not _group(plane), "the group to be gone")


def _group(plane):
    return [each for each in plane.api.request("GET", "/apis")["groups"] if each["name"] == CONSTRAINTS_GROUP]


def _notes(server):
    return [line for line in server.operation("/readyz?verbose")[1].splitlines() if line.startswith("[!]openshift")]


def _warnings(server):
    return [line for line in server.lines() if line["message"] == "OpenShift refuses pods"]


def test_refused_users_are_reported_in_readiness_and_once_in_the_log(plane, namespace, tmp_path):
    settings = {"POD_NAMESPACE": namespace, **STRICT_SECURITY}
    with _openshift(plane), serving_cluster(tmp_path, plane.kubeconfig(), **settings) as server:
        (note,) = _notes(server)
        assert note.startswith(NOTE)
        assert "deploy/overlays/openshift" in note
        (line,) = _warnings(server)
        assert "deploy/overlays/openshift" in line["reason"]
        assert server.operation("/readyz") == (200, "ok")


def test_it_is_noticed_when_the_group_appears_later_and_when_it_goes(plane, namespace, tmp_path):
    with serving_cluster(tmp_path, plane.kubeconfig(), POD_NAMESPACE=namespace, **STRICT_SECURITY) as server:
        assert _notes(server) == _warnings(server) == []
        with _openshift(plane):
            wait_for(lambda: _notes(server), "the note on OpenShift")
            assert len(_warnings(server)) == 1
        wait_for(lambda: not _notes(server), "the note to be gone")


def test_with_users_left_to_the_platform_nothing_is_reported(plane, namespace, tmp_path):
    settings = {"POD_NAMESPACE": namespace, "VMGUARD_RUN_AS": "platform"}
    with _openshift(plane), serving_cluster(tmp_path, plane.kubeconfig(), **settings) as server:
        assert _notes(server) == _warnings(server) == []


def test_with_watch_namespace_refused_users_are_reported_too(plane, namespace, tmp_path):
    settings = {"POD_NAMESPACE": namespace, "WATCH_NAMESPACE": namespace}
    with _openshift(plane), serving_cluster(tmp_path, plane.kubeconfig(), **settings) as server:
        assert len(_notes(server)) == 1
