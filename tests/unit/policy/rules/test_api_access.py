"""api-access: only containers that need the API get a token, and volumes of the user stay."""

import pytest

from tests.support.sample_pods import decide, patched, pod, resource, vmsingle, workload
from webhook.offline.file_facts import FileFacts
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


def test_a_collector_gets_the_mount_that_the_operator_forgot_and_a_warning():
    cr = resource("VLAgent", "a", ASKED)
    ds = workload("DaemonSet", "vlagent-a", cr)
    spec = {"containers": [{"name": "vlagent"}], "volumes": [TOKEN_VOLUME], "automountServiceAccountToken": False}
    asked = pod(ds, spec)
    decision = decide(asked, [cr, ds], **OFF)
    assert patched(asked, decision)["spec"]["containers"][0]["volumeMounts"] == [TOKEN_MOUNT]
    assert [change.why for change in decision.changes] == ["it needs the API and was given no token"]


MINE = {**INJECTED, "name": "kube-api-access-mine1"}
MY_MOUNT = {"name": "kube-api-access-mine1", "mountPath": TOKEN_PATH}


@pytest.mark.parametrize(
    ("mounted_by", "container"),
    [
        ({"volumeMounts": [MY_MOUNT]}, "vmsingle"),
        ({"containers": [{"name": "vmsingle", "volumeMounts": [MY_MOUNT]}]}, "vmsingle"),
        ({"containers": [{"name": "side", "volumeMounts": [MY_MOUNT]}]}, "side"),
        ({"initContainers": [{"name": "first", "volumeMounts": [MY_MOUNT]}]}, "first"),
        ({}, ""),
        ({"volumeMounts": [{**MY_MOUNT, "mountPath": "/elsewhere"}]}, ""),
        ({"volumeMounts": [{**MY_MOUNT, "name": "another"}]}, ""),
    ],
)
def test_a_mount_of_the_users_volume_stays_only_where_the_resource_has_it(mounted_by, container):
    """The admission plugin mounts a user's volume with its prefix in every container; the resource's mounts stay."""
    everywhere = {"volumes": [MINE]}
    for group, names in {"containers": ("vmsingle", "side"), "initContainers": ("first",)}.items():
        everywhere[group] = [{"name": name, "volumeMounts": [MY_MOUNT]} for name in names]
    spec, _ = _out(everywhere, {**ASKED, "volumes": [MINE], **mounted_by})
    assert spec["volumes"] == [MINE], "a volume of the user stays, mounted or not"
    mounting = [each["name"] for each in (*spec["containers"], *spec["initContainers"]) if each["volumeMounts"]]
    assert mounting == ([container] if container else [])


FOREIGN = {"name": "mine", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 360000}}]}}
FOREIGN_MOUNT = {"name": "mine", "mountPath": TOKEN_PATH}


@pytest.mark.parametrize("webhook", ["mutate", "validate"])
@pytest.mark.parametrize("container", ["vmsingle", "side"])
def test_a_token_that_neither_resource_nor_operator_mounts_is_denied(container, webhook):
    """Another webhook adds a volume without the plugin's prefix and mounts it at the token path."""
    names = ("vmsingle", "side")
    containers = [{"name": name, "volumeMounts": [FOREIGN_MOUNT] if name == container else []} for name in names]
    asked, objects = vmsingle(
        {**ASKED, "containers": [{"name": "side"}], "volumes": [FOREIGN]},
        {"containers": containers, "volumes": [FOREIGN], "automountServiceAccountToken": False},
    )
    decision = decide(asked, objects, webhook=webhook, VMGUARD_ENFORCE="deny", **OFF)
    assert not decision.allowed
    path = f"/spec/containers/{names.index(container)}/volumeMounts/0/name"
    assert [(each.path, each.found) for each in decision.violations] == [(path, "mine")]


@pytest.mark.parametrize(
    ("path", "denied"),
    [
        (f"{TOKEN_PATH}/", True),
        ("/run/secrets/kubernetes.io/serviceaccount", True),
        ("//var/run/secrets//kubernetes.io/serviceaccount", True),
        ("/var/run/../run/./secrets/kubernetes.io/serviceaccount", True),
        ("var/run/secrets/kubernetes.io/serviceaccount", True),
        ("/var/run/secrets/kubernetes.io/serviceaccount2", False),
        ("/srv/kubernetes.io/serviceaccount", False),
    ],
)
def test_the_token_path_is_found_however_it_is_written(path, denied):
    asked, objects = vmsingle(
        {**ASKED, "volumes": [FOREIGN]},
        {
            "containers": [{"name": "vmsingle", "volumeMounts": [{"name": "mine", "mountPath": path}]}],
            "volumes": [FOREIGN],
            "automountServiceAccountToken": False,
        },
    )
    decision = decide(asked, objects, webhook="validate", VMGUARD_ENFORCE="deny", **OFF)
    assert any(each.found == "mine" for each in decision.violations) == denied


BACKUP = {"vmBackup": {"volumeMounts": [FOREIGN_MOUNT]}}


@pytest.mark.parametrize(
    ("resource_spec", "mounting"),
    [
        ({"volumeMounts": [FOREIGN_MOUNT]}, "vmsingle"),
        ({"volumeMounts": [FOREIGN_MOUNT]}, "vmbackuper"),
        (BACKUP, "vmbackuper"),
        (BACKUP, "vmbackuper-restore"),
        ({"containers": [{"name": "vmsingle", "volumeMounts": [FOREIGN_MOUNT]}]}, "vmsingle"),
        ({"containers": [{"name": "side", "volumeMounts": [FOREIGN_MOUNT]}]}, "side"),
        ({"initContainers": [{"name": "side", "volumeMounts": [FOREIGN_MOUNT]}]}, "side"),
    ],
)
def test_a_token_that_the_resource_mounts_is_not_denied(resource_spec, mounting):
    """The operator puts the component's mounts and those of `vmBackup` into its backup containers too."""
    containers = [{"name": mounting, "volumeMounts": [FOREIGN_MOUNT]}]
    asked, objects = vmsingle({**ASKED, **resource_spec}, {"containers": containers, "volumes": [FOREIGN]})
    assert not decide(asked, objects, VMGUARD_ENFORCE="deny", **OFF).violations


def test_a_token_mount_is_not_denied_where_the_resource_is_not_known():
    """Only the resource says which mounts are the user's."""
    containers = [{"name": "vmsingle", "volumeMounts": [FOREIGN_MOUNT]}]
    asked, _ = vmsingle({}, {"containers": containers, "volumes": [FOREIGN]})
    settings = {"VMGUARD_ENFORCE": "deny", "VMGUARD_DISABLE_AUTOMOUNT": "true"}
    decision = decide(asked, source=FileFacts([], 30, complete=False), **settings, **OFF)
    assert decision.allowed
    assert not decision.violations


TOKEN = {"serviceAccountToken": {"path": "token"}}
CA = {"configMap": {"name": "kube-root-ca.crt"}}
USELESS = {
    "holds no token": {"emptyDir": {}},
    "holds no token, projected": {"projected": {"sources": [CA]}},
    "for audience 'vault'": {
        "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "vault"}}]}
    },
    "in the file 'jwt'": {"projected": {"sources": [{"serviceAccountToken": {"path": "jwt"}}, CA]}},
    "holds no ca.crt": {"projected": {"sources": [TOKEN]}},
    "holds no ca.crt, another file": {
        "projected": {"sources": [TOKEN, {"configMap": {"name": "x", "items": [{"key": "ca.crt", "path": "ca.pem"}]}}]}
    },
}
USEFUL = (
    {"projected": {"sources": [TOKEN, CA]}},
    {
        "projected": {
            "sources": [{"serviceAccountToken": {"path": "token", "audience": "https://kubernetes.default.svc"}}, CA]
        }
    },
    {"projected": {"sources": [TOKEN, {"secret": {"name": "x", "items": [{"key": "c", "path": "ca.crt"}]}}]}},
    {"projected": {"sources": [TOKEN, {"clusterTrustBundle": {"name": "x", "path": "ca.crt"}}]}},
)


@pytest.mark.parametrize("fault", USELESS)
@pytest.mark.parametrize("setting", [ASKED, {}])
def test_a_volume_that_takes_the_tokens_place_and_is_no_use_is_reported(fault, setting):
    """vmagent would start without a token that the API server accepts, so a person must know."""
    text = fault.partition(",")[0]
    adopted = {"name": "kube-api-access-cache", **USELESS[fault]}
    mount = {"name": "kube-api-access-cache", "mountPath": TOKEN_PATH}
    asked = {"containers": [{"name": "vmagent", "volumeMounts": [mount]}], "volumes": [adopted]}
    spec, decision = _agent(asked, {**setting, "volumes": [adopted]})
    if setting:
        assert spec["containers"][0]["volumeMounts"] == [TOKEN_MOUNT], "it gets one that is of use"
    else:
        assert any(text in warning and "rename it" in warning for warning in decision.warnings)
    _, decision = _agent(asked, {**setting, "volumes": [adopted], "volumeMounts": [mount]})
    assert any(text in warning for warning in decision.warnings)
    named = {"name": "kube-api-access", **USELESS[fault]}
    injected = {"containers": [{"name": "vmagent", "volumeMounts": [MOUNT]}], "volumes": [named, INJECTED]}
    _, decision = _agent(injected, {**ASKED, "volumes": [named]})
    assert not decision.patch
    (violation,) = decision.violations
    assert (violation.path, text in violation.why) == ("/spec/volumes/0/name", True)


@pytest.mark.parametrize("source", USEFUL)
def test_a_volume_that_is_of_use_is_not_reported(source):
    named = {"name": "kube-api-access", **source}
    asked = {"containers": [{"name": "vmagent", "volumeMounts": [MOUNT]}], "volumes": [named, INJECTED]}
    spec, decision = _agent(asked, {**ASKED, "volumes": [named]})
    assert not decision.warnings
    assert not decision.violations
    assert (spec["volumes"], spec["containers"][0]["volumeMounts"]) == ([named], [TOKEN_MOUNT])


def test_a_mount_without_a_name_at_the_token_path_gets_no_second_one():
    """Two mounts at one path would make the pod invalid; the API server refuses the first for its name anyway."""
    nameless = {"name": "", "mountPath": TOKEN_PATH}
    spec, _ = _agent({"containers": [{"name": "vmagent", "volumeMounts": [nameless]}]})
    assert spec["containers"][0]["volumeMounts"] == [nameless]


def test_a_volume_of_our_name_without_a_token_is_a_violation_and_nothing_is_touched():
    volumes = [{"name": "kube-api-access", "emptyDir": {}}, INJECTED]
    _, decision = _agent({"containers": [{"name": "vmagent", "volumeMounts": [MOUNT]}], "volumes": volumes})
    assert not decision.patch
    assert [violation.path for violation in decision.violations] == ["/spec/volumes/0/name"]


def test_a_pod_with_automount_true_is_a_violation_and_stays_unchanged():
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
