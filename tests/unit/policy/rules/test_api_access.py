"""api-access: only containers that need the API get a token, and volumes of the user stay."""

import pytest

from tests.support.sample_pods import decide, patched, pod, resource, vmsingle, workload
from webhook.policy.token_volume import TOKEN_MOUNT, TOKEN_PATH, TOKEN_VOLUME

OFF = {"VM_ENABLESTRICTSECURITY": "false"}
INJECTED = {"name": "kube-api-access-abcde", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
MOUNT = {"name": "kube-api-access-abcde", "mountPath": TOKEN_PATH, "readOnly": True}
ASKED = {"disableAutomountServiceAccountToken": True}


def _out(pod_spec, cr_spec=ASKED, minor=30):
    asked, objects = vmsingle(cr_spec, pod_spec)
    decision = decide(asked, objects, minor=minor, **OFF)
    done = patched(asked, decision)
    assert not decide(done, objects, minor=minor, **OFF).patch
    return done["spec"], decision


def _agent(pod_spec, cr_spec=ASKED):
    cr = resource("VMAgent", "a", cr_spec)
    sts = workload("StatefulSet", "vmagent-a", cr)
    asked = pod(sts, pod_spec)
    decision = decide(asked, [cr, sts], **OFF)
    done = patched(asked, decision)
    assert not decide(done, [cr, sts], **OFF).patch
    return done["spec"], decision


def test_the_api_servers_volume_goes_with_its_mounts_everywhere():
    containers = [{"name": "vmsingle", "volumeMounts": [{"name": "d", "mountPath": "/d"}, MOUNT]}]
    containers.append({"name": "mine", "volumeMounts": [MOUNT]})
    init = [{"name": "first", "volumeMounts": [MOUNT, {"name": "d", "mountPath": "/d"}]}]
    volumes = [{"name": "d", "emptyDir": {}}, INJECTED]
    spec, _ = _out({"containers": containers, "initContainers": init, "volumes": volumes})
    assert "kube-api-access" not in str(spec)
    assert spec["volumes"] == [{"name": "d", "emptyDir": {}}]
    assert spec["automountServiceAccountToken"] is False


def test_the_volume_stays_while_another_path_mounts_it():
    elsewhere = {"name": "kube-api-access-abcde", "mountPath": "/elsewhere"}
    spec, _ = _out({"containers": [{"name": "vmsingle", "volumeMounts": [MOUNT, elsewhere]}], "volumes": [INJECTED]})
    assert spec["volumes"] == [INJECTED]
    assert spec["containers"][0]["volumeMounts"] == [elsewhere]


def test_vmagent_gets_a_token_of_its_own():
    spec, _ = _agent({"containers": [{"name": "vmagent", "volumeMounts": [MOUNT]}], "volumes": [INJECTED]})
    assert spec["volumes"] == [TOKEN_VOLUME]
    assert spec["containers"][0]["volumeMounts"] == [TOKEN_MOUNT]


@pytest.mark.parametrize(
    "argument", ["--config-secret-name=mon/x", "-config-secret-name=mon/x", "--config-secret-name"]
)
def test_a_reloader_that_reads_a_secret_gets_a_token(argument):
    containers = [{"name": "vmagent"}, {"name": "config-reloader", "args": [argument]}]
    spec, _ = _agent({"containers": containers})
    assert [container["volumeMounts"] for container in spec["containers"]] == [[TOKEN_MOUNT], [TOKEN_MOUNT]]


def test_a_reloader_that_watches_files_gets_none():
    containers = [{"name": "vmagent"}, {"name": "config-reloader", "args": ["--watched-dir=/x"]}]
    assert "volumeMounts" not in _agent({"containers": containers})[0]["containers"][1]


@pytest.mark.parametrize(("ingest_only", "mounted"), [(False, True), (True, False), (None, False)])
def test_a_vmsingle_that_scrapes_gets_a_token(ingest_only, mounted):
    spec, _ = _out({}, {**ASKED, "ingestOnlyMode": ingest_only})
    assert ("volumeMounts" in spec["containers"][0]) is mounted


def test_a_collector_gets_the_mount_that_the_operator_forgot_and_is_told_so():
    cr = resource("VLAgent", "a", ASKED)
    ds = workload("DaemonSet", "vlagent-a", cr)
    spec = {"containers": [{"name": "vlagent"}], "volumes": [TOKEN_VOLUME], "automountServiceAccountToken": False}
    asked = pod(ds, spec)
    decision = decide(asked, [cr, ds], **OFF)
    assert patched(asked, decision)["spec"]["containers"][0]["volumeMounts"] == [TOKEN_MOUNT]
    assert [change.why for change in decision.changes] == ["it needs the API and was given no token"]


def test_a_volume_that_the_user_wrote_is_never_taken_for_the_api_servers():
    mine = {**INJECTED, "name": "kube-api-access-mine1"}
    mount = {"name": "kube-api-access-mine1", "mountPath": TOKEN_PATH}
    pod_spec = {"containers": [{"name": "vmsingle", "volumeMounts": [mount]}], "volumes": [mine]}
    spec, _ = _out(pod_spec, {**ASKED, "volumes": [mine]})
    assert spec["volumes"] == [mine]
    assert spec["containers"][0]["volumeMounts"] == [mount]


def test_a_volume_of_our_name_without_a_token_is_a_violation_and_nothing_is_touched():
    volumes = [{"name": "kube-api-access", "emptyDir": {}}, INJECTED]
    _, decision = _agent({"containers": [{"name": "vmagent", "volumeMounts": [MOUNT]}], "volumes": volumes})
    assert not decision.patch
    assert [violation.path for violation in decision.violations] == ["/spec/volumes/0/name"]


def test_a_pod_that_asks_for_a_token_explicitly_is_a_violation_and_nothing_is_touched():
    containers = [{"name": "vmsingle", "volumeMounts": [MOUNT]}]
    _, decision = _out({"automountServiceAccountToken": True, "containers": containers, "volumes": [INJECTED]})
    assert not decision.patch
    assert [violation.path for violation in decision.violations] == ["/spec/automountServiceAccountToken"]


@pytest.mark.parametrize(("minor", "gone"), [(21, True), (22, False)])
def test_a_secret_token_counts_below_1_22_only(minor, gone):
    volume = {"name": "sa-token-x", "secret": {"secretName": "sa-token-x"}}
    mount = {"name": "sa-token-x", "mountPath": TOKEN_PATH}
    pod_spec = {
        "serviceAccountName": "sa",
        "volumes": [volume],
        "containers": [{"name": "vmsingle", "volumeMounts": [mount]}],
    }
    assert (_out(pod_spec, minor=minor)[0]["volumes"] == []) is gone


def test_a_vmagent_without_any_token_is_warned_of():
    assert _agent({"containers": [{"name": "vmagent"}]}, {})[1].warnings == (
        "container 'vmagent' needs the Kubernetes API and has no token: its ServiceAccount or its pod says"
        " automountServiceAccountToken: false, or the pod has not been through an API server [api-access]",
    )


def test_a_users_volume_of_the_name_is_no_matter_where_nobody_needs_the_api():
    mine = {"name": "kube-api-access", "emptyDir": {}}
    containers = [{"name": "vmsingle", "volumeMounts": [MOUNT, {"name": "kube-api-access", "mountPath": "/x"}]}]
    spec, decision = _out({"containers": containers, "volumes": [mine, INJECTED]})
    assert not decision.violations
    assert spec["volumes"] == [mine]
    assert spec["containers"][0]["volumeMounts"] == [{"name": "kube-api-access", "mountPath": "/x"}]
    assert spec["automountServiceAccountToken"] is False
