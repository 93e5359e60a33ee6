"""A redacted report has no name in it, and a name changes no other text of it."""

import asyncio
import json
import re
import shlex
from typing import Any

import msgspec
import pytest

from tests.support.sample_pods import owned_by, pod, resource, workload
from webhook.audit import redacted as module
from webhook.audit.audits import audit_saved, report_of
from webhook.audit.collect import AuditScope
from webhook.audit.fix_commands import patch_command
from webhook.audit.html_report import as_html
from webhook.audit.redacted import hashed, redacted, without_names
from webhook.audit.report import AuditReport, MissingPermission, NotJudged
from webhook.audit.saved import SavedObjects
from webhook.audit.text_report import as_diff, as_table
from webhook.audit.trimmed import trimmed
from webhook.policy.placed_fix import EditedResource, PlacedFix
from webhook.settings import Settings

HOSTILE = ["a", "x", "pods", "spec", "will", "root", "BREAKS", "namespace", "vmguard", "nfs.name", "64", "0", "true"]
"""Names that a text of the report has as words, or that look like something else."""

FORBIDDEN = (
    'pods is forbidden: User "{0}" cannot list resource "pods" in API group "" in the namespace "{0}":'
    ' Azure does not have opinion for this user "{0}".'
)


def things(name: str) -> list[dict[str, Any]]:
    """Objects in which everything that has a name has this one."""
    word, name = name, name.lower()
    labels = {f"{name}.key": word, "managed-by": "vm-operator", "app.kubernetes.io/name": "vmsingle", "team": word}
    context = {
        "runAsUser": 0,
        "seccompProfile": {"type": "Localhost", "localhostProfile": name},
        "appArmorProfile": {"type": "Localhost", "localhostProfile": name},
        "seLinuxOptions": {"user": name, "role": name, "type": name, "level": name},
        "windowsOptions": {"gmsaCredentialSpecName": name, "gmsaCredentialSpec": name, "runAsUserName": name},
        "sysctls": [{"name": name, "value": f"v{name}"}],
        f"{name}Field": name,
    }
    volumes = [
        {"name": name, "persistentVolumeClaim": {"claimName": name}},
        {"name": f"{name}-2", "hostPath": {"path": f"/{name}"}},
        {"name": f"{name}-3", "csi": {"driver": name}},
        {"name": f"{name}-4", "secret": {"secretName": name}},
        {"name": f"{name}-5", "nfs": {"server": name, "path": f"/{name}"}},
    ]
    mounts = [{"name": each["name"], "mountPath": f"/{name}/{n}", "subPath": name} for n, each in enumerate(volumes)]
    side = {"name": name, "image": f"{name}/{name}:{name}", "command": ["kubectl", "chown", name, f"/{name}"]}
    side |= {"securityContext": context, "volumeMounts": mounts, "ports": [{"containerPort": 80, "name": name}]}
    side["livenessProbe"] = {"httpGet": {"host": name, "path": f"/{name}", "port": 1}}
    annotations = {
        f"container.apparmor.security.beta.kubernetes.io/{name}": f"localhost/{word}",
        "container.apparmor.security.beta.kubernetes.io/vmsingle": f"unconfined/{name}",
        "seccomp.security.alpha.kubernetes.io/pod": f"localhost/{name}",
        "kubernetes.io/psp": name,
        "vault.hashicorp.com/agent-inject": "true",
    }
    spec = {
        "containers": [side],
        "initContainers": [{**side, "name": f"{name}-first"}],
        "volumes": volumes,
        "volumeMounts": mounts,
        "extraArgs": {"storageDataPath": f"/{word}/data", "httpListenAddr": ":80", name: name},
        "podMetadata": {"annotations": annotations, "labels": labels},
        "podSecurityPolicyName": name,
        "serviceAccountName": name,
        "disableAutomountServiceAccountToken": True,
    }
    thing = resource("VMSingle", name, spec)
    another = resource("VMSingle", f"{name}-other", {"port": "80", "securityContext": {"runAsUser": "x"}})
    cluster = resource("VMCluster", name, {"vmselect": {**spec, "securityContext": context}})
    controller = workload("StatefulSet", f"vmsingle-{name}", thing)
    main = {"name": "vmsingle", "image": f"{name}/vm:{name}", "args": [f"-storageDataPath=/{name}/data"], **side}
    main = {**main, "name": "vmsingle"}
    made = pod(controller, {**{field: spec[field] for field in ("containers", "initContainers", "volumes")}})
    made["spec"]["containers"] = [main, side]
    made["metadata"] |= {"name": f"{name}-0", "labels": labels, "annotations": annotations, "uid": name}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"volumeName": name},
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {"csi": {"driver": name}},
    }
    webhook = {
        "name": f"{name}.example.com",
        "clientConfig": {"service": {"name": name, "namespace": name}},
        "rules": [{"apiGroups": [""], "operations": ["CREATE"], "resources": ["pods"], "apiVersions": ["v1"]}],
    }
    configuration = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    configuration |= {"metadata": {"name": name}, "webhooks": [webhook]}
    strays = pod(owned_by(thing) and controller)
    strays["metadata"] |= {"name": f"{name}-lost", "uid": f"{name}-lost"}
    strays["metadata"]["ownerReferences"] = [{**owned_by(controller)[0], "name": f"{name}-gone", "uid": "gone"}]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {f"{name}.key": word}}}
    all_things = [thing, another, cluster, controller, made, claim, volume, configuration, strays, namespace]
    for each in all_things:
        each["metadata"]["namespace"] = name
        each["metadata"].setdefault("uid", name)
    return all_things


def report(name: str) -> AuditReport:
    found = [trimmed(each) for each in things(name)]
    pods = [each for each in found if each["kind"] == "Pod"]
    saved = SavedObjects(pods, [each for each in found if each["kind"] != "Pod"], None)
    audit = asyncio.run(audit_saved(saved, name, 37, AuditScope(()), Settings()))
    whole = report_of([audit], Settings())
    missing = MissingPermission(
        name, name, FORBIDDEN.format(name), '{apiGroups: [""], resources: ["pods"], verbs: ["list"]}'
    )
    lost = [*whole.not_judged, NotJudged(name, name, 1, f"{name}/{name}: pods of namespace {name} could not be judged")]
    return msgspec.structs.replace(whole, missing=[missing], not_judged=lost, complete=False)


def outputs(of: AuditReport) -> dict[str, str]:
    return {
        "json": msgspec.json.encode(of).decode(),
        "table": as_table(of),
        "wide": as_table(of, wide=True),
        "diff": as_diff(of),
        "html": as_html(of),
    }


@pytest.mark.slow
def test_no_name_is_in_any_output():
    """The canary is in every place of the objects that has a name."""
    canary = "canaryname"
    plain = report(canary)
    assert plain.workloads
    assert len({finding.id for row in plain.workloads for finding in row.findings}) > 5
    for output, text in outputs(plain).items():
        assert canary in text, output
    for output, text in outputs(redacted(plain)).items():
        assert canary not in text, re.findall(f".{{0,80}}{canary}.{{0,80}}", text)[:5]
        assert output


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_changes_no_other_text(name):
    """Apart from the hashes, a report with hostile names is the same as one with others of that form."""

    def shown(of: str) -> Any:
        text = re.sub(r"x[0-9a-f]{10}", "X", msgspec.json.encode(redacted(report(of))).decode())
        return _in_order(json.loads(text))

    assert shown(name) == shown(re.sub("[^.]", "q" if name < "vmsingle" else "z", name))


def _in_order(value: Any) -> Any:
    """A report with its lists in an order that no name decides."""
    if isinstance(value, dict):
        return {key: _in_order(each) for key, each in value.items() if key not in {"firstReason", "createdAt"}}
    if isinstance(value, list):
        return sorted(map(_in_order, value), key=json.dumps)
    return value


def test_a_name_that_is_json_leaves_valid_json_without_it():
    fragment = '{"a":"canaryname"}'
    text = msgspec.json.encode(redacted(report(fragment))).decode()
    assert json.loads(text)["workloads"]
    assert "canaryname" not in text


def test_a_report_of_vmguard_itself_can_still_be_read():
    """Its own words, kinds, fields and numbers are left."""
    text = (
        "VMSingle mon/db spec.containers[side].securityContext.runAsUser is 0, wanted 65534: container 'side' (/data)"
    )
    hashes = {name: hashed(name) for name in ("mon", "db", "side", "/data")}
    assert without_names(text) == (
        f"VMSingle {hashes['mon']}/{hashes['db']} spec.containers[{hashes['side']}].securityContext.runAsUser is 0,"
        f" wanted 65534: container '{hashes['side']}' ({hashes['/data']})"
    )


COMMANDS = """\
kubectl exec -n {0} {0} -c {0} -- stat -c '%u:%g %a %n' -- /{0}
kubectl exec -n {0} {0} -c {0} -- chown -R 65534 -- /{0}
kubectl label namespace {0} vmguard.io/exempt-  # vmguard is called for its pods then
"""


@pytest.mark.parametrize("name", ["exec", "patch", "audit", "get", "stat", "id", "namespace", "label", "chown"])
def test_a_name_in_a_command_may_be_one_of_its_words(name):
    """The place in the command says what is a name."""
    hashes = re.compile(r"x[0-9a-f]{10}")
    shown, other = (hashes.sub("X", module._yaml(COMMANDS.format(each))) for each in (name, "qq"))
    assert shown == other
    assert shown.startswith("kubectl exec -n X X -c X -- stat -c ")


def test_a_refusal_of_the_api_server_has_no_user():
    assert (
        without_names(FORBIDDEN.format("jane"))
        .replace(hashed("jane"), "NAME")
        .startswith(
            'pods is forbidden: User "NAME" cannot list resource "pods" in API group "" in the namespace "NAME":'
        )
    )


def test_every_field_of_a_report_has_a_row():
    """A new field is an error until somebody decides whether it has names."""
    schema = msgspec.json.schema(AuditReport)["$defs"]
    tables = {
        "AuditReport": module._REPORT,
        "AuditedWorkload": module._WORKLOAD,
        "ReportedFinding": module._FINDING,
        "PodChange": module._CHANGE,
        "ClusterHeader": module._CLUSTER,
        "MissingPermission": module._MISSING,
        "NotJudged": module._NOT_JUDGED,
        "AuditedNamespace": module._NAMESPACE,
    }
    for name, table in tables.items():
        assert set(schema[name]["properties"]) == set(table), name


def test_without_vmguards_sources_every_word_is_a_hash(monkeypatch):
    """It is the names that must not be shown, so what is not known to be a word counts as one."""
    monkeypatch.setattr(module, "own_words", frozenset)
    assert without_names("the pod runs") == " ".join(map(hashed, ("the", "pod", "runs")))


def test_each_word_of_a_text_is_looked_at_once(monkeypatch):
    """The work grows with the text, and not with the number of names."""
    looked: list[str] = []
    real = module._word
    monkeypatch.setattr(module, "_word", lambda word, words: looked.append(word) or real(word, words))
    without_names(" ".join(f"name-{number}" for number in range(2000)))
    assert len(looked) == 2000


def _hashed(value: Any, name: str) -> Any:
    """A JSON value with the hash of a name in place of each text that is the name."""
    if isinstance(value, dict):
        return {key: _hashed(each, name) for key, each in value.items()}
    if isinstance(value, list):
        return [_hashed(each, name) for each in value]
    return hashed(name) if value == name else value


@pytest.mark.parametrize("name", ["canaryname", "patch", "-n", "merge", "json", "spec", "0", "it's"])
def test_a_command_that_patches_keeps_its_form_and_no_name(name):
    """Its patch is read as JSON, so a name in it may have any characters."""
    target = EditedResource("VMAgent", name, name)
    volume = {"name": name, "persistentVolumeClaim": {"claimName": name}}
    fields = {"spec": {"containers": [{"name": name, "securityContext": {"runAsUser": 7}}], "volumes": [volume]}}
    for spec in ({}, {"containers": [{"name": "x"}, {"name": name}], "volumes": [{"name": "y"}]}):
        command = patch_command(PlacedFix(target, (), fields), lambda _, spec=spec: {"spec": spec})
        program, _, namespace, verb, kind, of, _, form, _, patch = shlex.split(module._patch_command(command))
        assert (program, verb, kind, form) == ("kubectl", "patch", "vmagents.operator.victoriametrics.com", "json")
        assert (namespace, of) == (hashed(name), hashed(name))
        assert json.loads(patch) == _hashed(_hashed(json.loads(shlex.split(command)[-1]), name), "y")
    merge = patch_command(
        PlacedFix(target, (), {"spec": {"podSecurityPolicyName": None, "port": "8080"}}), lambda _: None
    )
    assert shlex.split(module._patch_command(merge))[-1] == '{"spec":{"podSecurityPolicyName":null,"port":"8080"}}'
