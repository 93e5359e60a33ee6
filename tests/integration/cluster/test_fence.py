"""A stolen token of vmguard's ServiceAccount changes CA bundles of our webhook configurations, and nothing else."""

import copy
import json
from typing import NamedTuple

import pytest

from tests.controlplane.api import Api, ApiError, wait_for
from tests.controlplane.plane import ControlPlane
from tests.support.accounts import Account
from tests.support.documented_permissions import grant_documented
from tests.support.egress import egress_of
from tests.support.release import ADMISSION, KINDS, Release, release
from tests.support.webhook_attempts import BUNDLE, SERVER_OWNED, VALUES, attempts, fields, gist
from webhook.manifests.fence import ServiceAccount, fence

JSON_PATCH = "application/json-patch+json"
ANY_CONFIGURATION = {
    "apiGroups": ["admissionregistration.k8s.io"],
    "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
    "verbs": ["*"],
}
"""More than vmguard's role has: what is denied with it is denied by the fence."""


class Fenced(NamedTuple):
    """An installation behind a fence, and a client with the stolen token."""

    plane: ControlPlane
    installation: Release
    account: Account
    thief: Api

    def stored(self, kind, name=""):
        return self.plane.api.get(ADMISSION, kind, name or self.installation.name)

    def path(self, kind, name=""):
        return self.plane.api.path(ADMISSION, kind, "", name or self.installation.name)


def fenced_in(plane, installation):
    """Install the fence for the account vmguard of the installation's namespace; the account has a token."""
    account = Account(plane, service_account=(installation.namespace, "vmguard"))
    for each in fence(ServiceAccount(installation.namespace), installation.name):
        plane.api.create(each)
    return Fenced(plane, installation, account, plane.api_with(account.token))


def remove_fence(plane, installation):
    for each in fence(ServiceAccount(installation.namespace), installation.name):
        plane.api.delete_if_there(each["apiVersion"], each["kind"], each["metadata"]["name"])


@pytest.fixture(scope="module")
def egress(plane):
    with egress_of(plane) as made:
        yield made


@pytest.fixture(scope="module")
def fenced(plane, egress, tmp_path_factory):
    """Two configurations with a bundle, a fence that is in force, and a token that RBAC allows everything on both."""
    with release(plane, egress, tmp_path_factory.mktemp("fenced")) as installation:
        installation.configure()
        installation.install(plane.identities.ca.read_bytes())
        made = fenced_in(plane, installation)
        grant_documented(made.account, installation)
        made.account.add(ANY_CONFIGURATION)
        try:
            wait_for(lambda: all(is_in_force(made, kind) for kind in KINDS), "the fence to be in force")
            yield made
        finally:
            remove_fence(plane, installation)


def is_in_force(fenced, kind):
    try:
        fenced.thief.request("PATCH", fenced.path(kind), {"metadata": {"labels": {"a": "b"}}}, MERGE, dryRun="All")
    except ApiError as error:
        return denied(fenced, error)  # RBAC denies it until it has the new role
    return False


MERGE = "application/merge-patch+json"


def denied(fenced, error):
    """Whether it is the fence that denied."""
    return error.status == 403 and f"ValidatingAdmissionPolicy '{fenced.installation.name}-fence'" in str(error)


def outcome(api, path, patch):
    """The configuration that a patch would lead to, or the API server's error."""
    try:
        return gist(api.request("PATCH", path, patch, JSON_PATCH, dryRun="All"))
    except ApiError as error:
        return error


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_the_real_api_server_is_tried(plane, kind):
    optional = {"webhooks.reinvocationPolicy"} if kind.startswith("Validating") else set()
    assert fields(plane, kind) | optional == {*VALUES, BUNDLE}


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_but_the_bundle_can_be_changed(fenced, kind):
    """For each field: what an administrator can change the stolen token cannot, and the rest changes nothing."""
    before, path = gist(fenced.stored(kind)), fenced.path(kind)
    effective = set()
    for field, patch in attempts(fenced.stored(kind)):
        can = outcome(fenced.plane.api, path, patch)
        tried = outcome(fenced.thief, path, patch)
        if isinstance(can, ApiError) or can == before:
            assert isinstance(tried, ApiError) or tried == before, field
        else:
            effective.add(field)
            assert isinstance(tried, ApiError), field
            assert denied(fenced, tried), f"{field}: {tried}"
    optional = {"webhooks.reinvocationPolicy"} if kind.startswith("Validating") else set()
    assert effective == VALUES.keys() - SERVER_OWNED - optional, "what an administrator can change"
    assert gist(fenced.stored(kind)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_bundle_of_each_webhook_can_be_changed_and_removed(fenced, kind):
    before, path = fenced.stored(kind), fenced.path(kind)
    for index in range(len(before["webhooks"])):
        place = f"/webhooks/{index}/clientConfig/caBundle"
        for operation in ({"op": "replace", "path": place, "value": "QQ=="}, {"op": "remove", "path": place}):
            expected = copy.deepcopy(before)
            expected["webhooks"][index]["clientConfig"].pop("caBundle")
            if "value" in operation:
                expected["webhooks"][index]["clientConfig"]["caBundle"] = "QQ=="
            found = fenced.thief.request("PATCH", path, [operation], JSON_PATCH, dryRun="All")
            assert gist(found) == gist(expected)


LISTS = {
    "added": lambda hooks: [*hooks, {**hooks[0], "name": "other.vmguard.io"}],
    "removed": lambda hooks: hooks[:-1],
    "all removed": lambda hooks: [],
    "reversed": lambda hooks: hooks[::-1],
    "renamed": lambda hooks: [{**hooks[0], "name": "other.vmguard.io"}, *hooks[1:]],
    "names swapped": lambda hooks: [
        {**hooks[0], "name": hooks[1]["name"]}, {**hooks[1], "name": hooks[0]["name"]}, *hooks[2:]
    ],
    "contents swapped": lambda hooks: [
        {**hooks[1], "name": hooks[0]["name"]}, {**hooks[0], "name": hooks[1]["name"]}, *hooks[2:]
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", LISTS)
def test_no_webhook_can_be_added_removed_renamed_or_moved(fenced, kind, change):
    stored = fenced.stored(kind)
    changed = {**stored, "webhooks": LISTS[change](stored["webhooks"])}
    fenced.plane.api.request("PUT", fenced.path(kind), changed, dryRun="All")
    with pytest.raises(ApiError) as refused:
        fenced.thief.request("PUT", fenced.path(kind), changed, dryRun="All")
    assert denied(fenced, refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_one_name_for_two_webhooks_is_refused(fenced, kind):
    """By the API server for everybody, and by the fence."""
    stored = fenced.stored(kind)
    first = stored["webhooks"][0]
    changed = {**stored, "webhooks": [first, first, *stored["webhooks"][2:]]}
    with pytest.raises(ApiError):
        fenced.thief.request("PUT", fenced.path(kind), changed, dryRun="All")


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_write_passes_the_fence(fenced, kind):
    """An update, a merge patch and a server-side apply are denied as a JSON Patch is."""
    stored = fenced.stored(kind)
    changed = {**stored, "webhooks": [{**stored["webhooks"][0], "timeoutSeconds": 1}, *stored["webhooks"][1:]]}
    applied = {"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": stored["metadata"]["name"]}}
    applied["webhooks"] = [{"name": stored["webhooks"][0]["name"], "timeoutSeconds": 1}]
    writes = [
        ("PUT", changed, "application/json", {}),
        ("PATCH", {"webhooks": changed["webhooks"]}, MERGE, {}),
        ("PATCH", {"webhooks": applied["webhooks"]}, "application/strategic-merge-patch+json", {}),
        ("PATCH", applied, "application/apply-patch+yaml", {"fieldManager": "thief", "force": "true"}),
    ]
    for method, body, media_type, query in writes:
        fenced.plane.api.request(method, fenced.path(kind), body, media_type, dryRun="All", **query)
        with pytest.raises(ApiError) as refused:
            fenced.thief.request(method, fenced.path(kind), body, media_type, dryRun="All", **query)
        assert denied(fenced, refused.value), media_type


@pytest.mark.parametrize("kind", KINDS)
def test_no_configuration_can_be_created_or_deleted(fenced, kind):
    root = fenced.path(kind).rpartition("/")[0]
    other = {"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": "other"}}
    generated = {**other, "metadata": {"generateName": "other-"}}
    only_ours = {"fieldSelector": f"metadata.name={fenced.installation.name}"}
    writes = [
        ("POST", root, other, {}),
        ("POST", root, generated, {}),
        ("DELETE", fenced.path(kind), None, {}),
        ("DELETE", root, None, only_ours),
    ]
    for method, path, body, query in writes:
        fenced.plane.api.request(method, path, body, dryRun="All", **query)
        with pytest.raises(ApiError) as refused:
            fenced.thief.request(method, path, body, dryRun="All", **query)
        assert denied(fenced, refused.value), (method, path)
    assert fenced.stored(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_configuration_can_be_changed(fenced, kind):
    """Not even its bundle: with it, a thief could answer for another product."""
    name = f"{fenced.installation.name}-other"
    other = next(each for each in fenced.installation.manifests() if each["kind"] == kind)
    fenced.plane.api.create({**other, "metadata": {"name": name}})
    try:
        patch = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "QQ=="}]
        fenced.plane.api.request("PATCH", fenced.path(kind, name), patch, JSON_PATCH, dryRun="All")
        with pytest.raises(ApiError) as refused:
            fenced.thief.request("PATCH", fenced.path(kind, name), patch, JSON_PATCH, dryRun="All")
        assert denied(fenced, refused.value)
    finally:
        fenced.plane.api.delete(ADMISSION, kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_another_account_of_the_namespace_is_not_affected(fenced, kind):
    """The fence binds one account. An installer that runs as another one changes what it likes."""
    account = Account(fenced.plane, service_account=(fenced.installation.namespace, f"installer-{kind.lower()}"))
    account.add(ANY_CONFIGURATION)
    api = fenced.plane.api_with(account.token)
    patch = [{"op": "add", "path": "/webhooks/0/timeoutSeconds", "value": 3}]

    def changed():
        found = outcome(api, fenced.path(kind), patch)
        return not isinstance(found, ApiError) and found["webhooks"][0]["timeoutSeconds"] == 3

    wait_for(changed, "RBAC to know the account")


def test_vmguard_installs_repairs_and_rotates_its_bundle_behind_the_fence(plane, egress, tmp_path):
    """With the documented permissions and a token of its real ServiceAccount."""
    with release(plane, egress, tmp_path) as installation:
        installation.configure()
        fenced = fenced_in(plane, installation)
        grant_documented(fenced.account, installation)
        try:
            server = installation.replica(fenced.account.kubeconfig)
            installation.ready(server)
            assert installation.is_installed()
            fenced.account.add(ANY_CONFIGURATION)
            wait_for(lambda: all(is_in_force(fenced, kind) for kind in KINDS), "the fence to be in force")
            before = installation.bundles()
            for manifest in installation.manifests():
                done = plane.kubectl("replace", "-f", "-", stdin=json.dumps(manifest))
                assert done.returncode == 0, done.stderr
            wait_for(lambda: installation.bundles() == before, "the bundle to be repaired")
            wait_for(installation.admits, "a pod to be admitted")
            assert not [line for line in server.lines() if "may not" in line.get("reason", "")]
        finally:
            remove_fence(plane, installation)


def test_a_write_that_the_fence_denies_is_reported_with_its_message(plane, egress, tmp_path):
    """As where the fence is for a configuration with another name."""
    with release(plane, egress, tmp_path) as installation:
        installation.configure()
        account = Account(plane, service_account=(installation.namespace, "vmguard"))
        grant_documented(account, installation)
        made = [plane.api.create(each) for each in fence(ServiceAccount(installation.namespace), "another")]
        try:
            api = plane.api_with(account.token)
            path = plane.api.path(ADMISSION, KINDS[0], "", installation.name)
            patch = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "QQ=="}]

            def tried():
                found = outcome(api, path, patch)
                return isinstance(found, ApiError) and "may only change the configuration another" in str(found)

            wait_for(tried, "the fence to be in force")
            server = installation.replica(account.kubeconfig)
            wait_for(
                lambda: "vmguard may only change the configuration another" in server.operation("/readyz?verbose")[1],
                "the message in /readyz",
            )
            assert installation.bundles() == {""}
        finally:
            for each in made:
                plane.api.delete(each["apiVersion"], each["kind"], each["metadata"]["name"])
