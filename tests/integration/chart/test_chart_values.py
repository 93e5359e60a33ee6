"""Every value of the chart changes what is rendered, and a wrong one is refused with the place and the reason."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from tests.support.helm import CHART, NAMESPACE, RELEASE

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DIGEST = f"sha256:{'0' * 64}"
ISSUER = {"certManager": {"issuerRef": {"name": "ca"}}}
WITH_CERT_MANAGER = {"certManager": {"enabled": True, "issuerRef": {"name": "ca"}}}
SPEC = "Deployment spec.template.spec"
CONTAINER = f"{SPEC}.containers[vmguard]"
LABELLED = ("Deployment", "Secret", "ClusterRole", "RoleBinding", "MutatingWebhookConfiguration")
VALIDATING = "ValidatingWebhookConfiguration webhooks"
FROM = "NetworkPolicy spec.ingress[].from[]"
MUTATING = "MutatingWebhookConfiguration webhooks"


@dataclass(frozen=True)
class ValueEffect:
    """Setting a value to `value`, among the values `beside`, adds the lines `adds` and removes the lines `removes`."""

    value: Any
    adds: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    beside: dict[str, Any] = field(default_factory=dict)


def _variable(name, value):
    return f'{CONTAINER}.env[{name}].value: "{value}"'


EFFECTS = {
    "nameOverride": ValueEffect("guard", ('Service spec.selector.app.kubernetes.io/name: "guard"',)),
    "fullnameOverride": ValueEffect(
        "guard",
        (
            'Service metadata.name: "guard"',
            'Secret metadata.name: "guard-ca"',
            _variable("VMGUARD_SERVICE", "guard"),
            _variable("VMGUARD_LEASE", "guard"),
            _variable("VMGUARD_WEBHOOK_CONFIGURATION", "guard"),
            'MutatingWebhookConfiguration metadata.name: "guard"',
            f'{MUTATING}[pods.vmguard.io].clientConfig.service.name: "guard"',
            'ClusterRoleBinding subjects[guard].name: "guard"',
        ),
    ),
    "namespaceOverride": ValueEffect(
        "monitoring",
        (
            'Deployment metadata.namespace: "monitoring"',
            'RoleBinding metadata.namespace: "monitoring"',
            'ClusterRoleBinding subjects[vmguard].namespace: "monitoring"',
            f'{MUTATING}[pods.vmguard.io].clientConfig.service.namespace: "monitoring"',
        ),
    ),
    "commonLabels": ValueEffect(
        {"team": "sre"},
        (
            'Deployment spec.template.metadata.labels.team: "sre"',
            *(f'{kind} metadata.labels.team: "sre"' for kind in LABELLED),
        ),
    ),
    "global.image.registry": ValueEffect("example.org", (f'{CONTAINER}.image: "example.org/vmguard:0.1.0"',)),
    "global.imagePullSecrets": ValueEffect([{"name": "key"}], (f'{SPEC}.imagePullSecrets[key].name: "key"',)),
    "mode": ValueEffect(
        "enforce",
        (
            _variable("VMGUARD_MODE", "enforce"),
            f'{MUTATING}[pods.vmguard.io].failurePolicy: "Fail"',
            f"{MUTATING}[pods.vmguard.io].timeoutSeconds: 10",
        ),
        (f'{MUTATING}[pods.vmguard.io].failurePolicy: "Ignore"',),
    ),
    "enforce": ValueEffect(
        "deny",
        (
            _variable("VMGUARD_ENFORCE", "deny"),
            f'{MUTATING}[pods.vmguard.io].clientConfig.service.path: "/mutate/enforced"',
        ),
        (f'{MUTATING}[pods.vmguard.io].clientConfig.service.path: "/mutate"',),
    ),
    "unknown": ValueEffect("allow", (_variable("VMGUARD_UNKNOWN", "allow"),)),
    "strictSecurity": ValueEffect(False, (_variable("VM_ENABLESTRICTSECURITY", "false"),)),
    "disableAutomount": ValueEffect(True, (_variable("VMGUARD_DISABLE_AUTOMOUNT", "true"),)),
    "hardenSidecars": ValueEffect(True, (_variable("VMGUARD_HARDEN_SIDECARS", "true"),)),
    "runAs": ValueEffect("platform", (_variable("VMGUARD_RUN_AS", "platform"),)),
    "watchNamespaces": ValueEffect(
        ["one", "two"],
        (
            _variable("WATCH_NAMESPACE", "one,two"),
            'Role metadata.namespace: "one"',
            'Role metadata.namespace: "two"',
            f'{MUTATING}[pods.vmguard.io].namespaceSelector.matchExpressions[].values[]: "two"',
            f'{VALIDATING}[resources.vmguard.io].namespaceSelector.matchExpressions[].values[]: "one"',
        ),
        ('ClusterRole metadata.name: "vmguard"', 'ClusterRoleBinding metadata.name: "vmguard"'),
    ),
    "webhook.port": ValueEffect(
        10250, (f"{CONTAINER}.ports[webhook].containerPort: 10250", _variable("VMGUARD_LISTEN", ":10250"))
    ),
    "webhook.timeoutSeconds": ValueEffect(
        7, (f"{MUTATING}[pods.vmguard.io].timeoutSeconds: 7", f"{MUTATING}[pods-in-force.vmguard.io].timeoutSeconds: 7")
    ),
    "webhook.failurePolicy": ValueEffect(
        "Ignore",
        (f'{MUTATING}[pods-in-force.vmguard.io].failurePolicy: "Ignore"',),
        (f'{MUTATING}[pods-in-force.vmguard.io].failurePolicy: "Fail"',),
    ),
    "webhook.namespaceSelector": ValueEffect(
        {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]},
        (
            f'{MUTATING}[pods.vmguard.io].namespaceSelector.matchLabels.a: "b"',
            f'{MUTATING}[pods.vmguard.io].namespaceSelector.matchExpressions[].key: "c"',
            f'{VALIDATING}[resources.vmguard.io].namespaceSelector.matchLabels.a: "b"',
        ),
    ),
    "webhook.objectSelector": ValueEffect(
        {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]},
        (
            f'{MUTATING}[pods.vmguard.io].objectSelector.matchLabels.a: "b"',
            f'{MUTATING}[pods.vmguard.io].objectSelector.matchExpressions[].key: "c"',
        ),
    ),
    "webhook.annotations": ValueEffect({"a": "b"}, ('ValidatingWebhookConfiguration metadata.annotations.a: "b"',)),
    "replicaCount": ValueEffect(3, ("Deployment spec.replicas: 3",)),
    "image.registry": ValueEffect("example.org", (f'{CONTAINER}.image: "example.org/vmguard:0.1.0"',)),
    "image.repository": ValueEffect("mine/guard", (f'{CONTAINER}.image: "mine/guard:0.1.0"',)),
    "image.tag": ValueEffect("0.2.0", (f'{CONTAINER}.image: "vmguard:0.2.0"',)),
    "image.digest": ValueEffect(DIGEST, (f'{CONTAINER}.image: "vmguard@{DIGEST}"',)),
    "image.pullPolicy": ValueEffect("Always", (f'{CONTAINER}.imagePullPolicy: "Always"',)),
    "imagePullSecrets": ValueEffect([{"name": "key"}], (f'{SPEC}.imagePullSecrets[key].name: "key"',)),
    "serviceAccount.create": ValueEffect(
        False,
        (),
        ("ServiceAccount automountServiceAccountToken: false",),
        beside={"serviceAccount": {"name": "there"}},
    ),
    "serviceAccount.name": ValueEffect(
        "other",
        (
            'ServiceAccount metadata.name: "other"',
            f'{SPEC}.serviceAccountName: "other"',
            'RoleBinding subjects[other].name: "other"',
        ),
    ),
    "serviceAccount.annotations": ValueEffect({"a": "b"}, ('ServiceAccount metadata.annotations.a: "b"',)),
    "rbac.create": ValueEffect(False, (), ('ClusterRole metadata.name: "vmguard"', 'Role metadata.name: "vmguard"')),
    "podSecurityContext": ValueEffect({"fsGroup": 7}, (f"{SPEC}.securityContext.fsGroup: 7",)),
    "securityContext": ValueEffect({"privileged": False}, (f"{CONTAINER}.securityContext.privileged: false",)),
    "resources": ValueEffect({"limits": {"cpu": "1"}}, (f'{CONTAINER}.resources.limits.cpu: "1"',)),
    "nodeSelector": ValueEffect({"a": "b"}, (f'{SPEC}.nodeSelector.a: "b"',)),
    "tolerations": ValueEffect([{"operator": "Exists"}], (f'{SPEC}.tolerations[].operator: "Exists"',)),
    "affinity": ValueEffect({"nodeAffinity": {"a": 1}}, (f"{SPEC}.affinity.nodeAffinity.a: 1",)),
    "topologySpreadConstraints": ValueEffect(
        [{"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}],
        (
            f'{SPEC}.topologySpreadConstraints[].topologyKey: "rack"',
            f"{SPEC}.topologySpreadConstraints[].maxSkew: 2",
        ),
    ),
    "priorityClassName": ValueEffect("mine", (f'{SPEC}.priorityClassName: "mine"',)),
    "podDisruptionBudget.enabled": ValueEffect(False, (), ("PodDisruptionBudget spec.maxUnavailable: 1",)),
    "podDisruptionBudget.maxUnavailable": ValueEffect("50%", ('PodDisruptionBudget spec.maxUnavailable: "50%"',)),
    "podDisruptionBudget.unhealthyPodEvictionPolicy": ValueEffect(
        "AlwaysAllow", ('PodDisruptionBudget spec.unhealthyPodEvictionPolicy: "AlwaysAllow"',)
    ),
    "updateStrategy.type": ValueEffect(
        "Recreate", ('Deployment spec.strategy.type: "Recreate"',), beside={"updateStrategy": {"rollingUpdate": None}}
    ),
    "updateStrategy.rollingUpdate": ValueEffect(
        {"maxSurge": "100%"}, ('Deployment spec.strategy.rollingUpdate.maxSurge: "100%"',)
    ),
    "podLabels": ValueEffect({"a": "b"}, ('Deployment spec.template.metadata.labels.a: "b"',)),
    "podAnnotations": ValueEffect({"a": "b"}, ('Deployment spec.template.metadata.annotations.a: "b"',)),
    "extraEnv": ValueEffect(
        [{"name": "VMGUARD_LOG_LEVEL", "value": "debug"}], (_variable("VMGUARD_LOG_LEVEL", "debug"),)
    ),
    "extraEnvFrom": ValueEffect(
        [{"configMapRef": {"name": "more"}}], (f'{CONTAINER}.envFrom[].configMapRef.name: "more"',)
    ),
    "extraArgs": ValueEffect(["--log-level=debug"], (f'{CONTAINER}.args[]: "--log-level=debug"',)),
    "extraVolumes": ValueEffect([{"name": "more", "emptyDir": {}}], (f'{SPEC}.volumes[more].name: "more"',)),
    "extraVolumeMounts": ValueEffect(
        [{"name": "more", "mountPath": "/more"}], (f'{CONTAINER}.volumeMounts[more].mountPath: "/more"',)
    ),
    "extraObjects": ValueEffect(
        [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
        ('ConfigMap metadata.name: "vmguard-more"',),
    ),
    "hostNetwork": ValueEffect(True, (f"{SPEC}.hostNetwork: true", f'{SPEC}.dnsPolicy: "ClusterFirstWithHostNet"')),
    "dnsPolicy": ValueEffect("Default", (f'{SPEC}.dnsPolicy: "Default"',)),
    "service.type": ValueEffect("NodePort", ('Service spec.type: "NodePort"',)),
    "service.ipFamilyPolicy": ValueEffect("PreferDualStack", ('Service spec.ipFamilyPolicy: "PreferDualStack"',)),
    "service.ipFamilies": ValueEffect(["IPv6"], ('Service spec.ipFamilies[]: "IPv6"',)),
    "service.annotations": ValueEffect({"a": "b"}, ('Service metadata.annotations.a: "b"',)),
    "networkPolicy.enabled": ValueEffect(
        True,
        (
            'NetworkPolicy spec.ingress[].ports[].port: "webhook"',
            f'{FROM}.namespaceSelector.matchLabels.kubernetes.io/metadata.name: "monitoring"',
            f'{FROM}.podSelector.matchLabels.app.kubernetes.io/name: "vmguard-test"',
        ),
    ),
    "networkPolicy.operationsFrom": ValueEffect(
        [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        ('NetworkPolicy spec.ingress[].from[].ipBlock.cidr: "10.0.0.0/8"',),
        beside={"networkPolicy": {"enabled": True}},
    ),
    "serviceMonitor.enabled": ValueEffect(
        True,
        (
            'VMServiceScrape apiVersion: "operator.victoriametrics.com/v1beta1"',
            'VMServiceScrape spec.endpoints[].port: "operations"',
        ),
    ),
    "serviceMonitor.vm": ValueEffect(
        False,
        ('ServiceMonitor apiVersion: "monitoring.coreos.com/v1"',),
        beside={"serviceMonitor": {"enabled": True}},
    ),
    "serviceMonitor.interval": ValueEffect(
        "15s", ('VMServiceScrape spec.endpoints[].interval: "15s"',), beside={"serviceMonitor": {"enabled": True}}
    ),
    "serviceMonitor.labels": ValueEffect(
        {"a": "b"}, ('VMServiceScrape metadata.labels.a: "b"',), beside={"serviceMonitor": {"enabled": True}}
    ),
    "rules.enabled": ValueEffect(
        True,
        (
            'VMRule apiVersion: "operator.victoriametrics.com/v1beta1"',
            'VMRule spec.groups[vmguard].rules[].alert: "VmguardAbsent"',
        ),
    ),
    "rules.vm": ValueEffect(
        False, ('PrometheusRule apiVersion: "monitoring.coreos.com/v1"',), beside={"rules": {"enabled": True}}
    ),
    "rules.labels": ValueEffect({"a": "b"}, ('VMRule metadata.labels.a: "b"',), beside={"rules": {"enabled": True}}),
    "rules.runbookUrl": ValueEffect(
        "https://example.org/runbooks",
        ('VMRule spec.groups[vmguard].rules[].annotations.runbook_url: "https://example.org/runbooks#vmguardabsent"',),
        beside={"rules": {"enabled": True}},
    ),
    "dashboards.enabled": ValueEffect(True, ('ConfigMap metadata.labels.grafana_dashboard: "1"',)),
    "dashboards.labels": ValueEffect(
        {"a": "b"}, ('ConfigMap metadata.labels.a: "b"',), beside={"dashboards": {"enabled": True}}
    ),
    "dashboards.annotations": ValueEffect(
        {"grafana_folder": "Security"},
        ('ConfigMap metadata.annotations.grafana_folder: "Security"',),
        beside={"dashboards": {"enabled": True}},
    ),
    "certManager.enabled": ValueEffect(
        True,
        (
            'Certificate spec.dnsNames[]: "vmguard.vmguard-system.svc"',
            _variable("VMGUARD_CERT_DIR", "/etc/vmguard/certificates"),
            f'{SPEC}.volumes[certificates].secret.secretName: "vmguard-serving"',
            "MutatingWebhookConfiguration metadata.annotations.cert-manager.io/inject-ca-from:"
            ' "vmguard-system/vmguard-serving"',
        ),
        beside=ISSUER,
    ),
    "certManager.issuerRef": ValueEffect(
        {"name": "other", "kind": "ClusterIssuer"},
        ('Certificate spec.issuerRef.name: "other"', 'Certificate spec.issuerRef.kind: "ClusterIssuer"'),
        beside=WITH_CERT_MANAGER,
    ),
}
"""A row for each value."""


def _paths(value, schema, path=""):
    """The paths of the values in values.yaml; a part that the chart only hands on is one value."""
    for key, inner in value.items():
        shape = schema["properties"][key]
        if inner and "properties" in shape:
            yield from _paths(inner, shape, f"{path}{key}.")
        else:
            yield f"{path}{key}"


PATHS = list(_paths(VALUES, SCHEMA))


def test_every_value_has_a_row():
    assert list(EFFECTS) == PATHS


def _lines(value, path):
    """A line for each value in an object; an item of a list has its name, or none."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _lines(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            name = inner.get("name", "") if isinstance(inner, dict) else ""
            yield from _lines(inner, f"{path}[{name}]")
    else:
        yield f"{path}: {json.dumps(value)}"


def _all_lines(objects):
    return {
        f"{thing['kind']} {line.removeprefix('.')}"
        for thing in objects
        for line in _lines({key: part for key, part in thing.items() if key != "kind"}, "")
    }


def _merged(values, path, value):
    """The values with one of them set."""
    key, _, rest = path.partition(".")
    inner = _merged(values.get(key, {}), rest, value) if rest else value
    return {**values, key: inner}


@pytest.fixture(scope="module")
def lines_with(helm):
    """The lines of a rendering with some values, rendered once."""
    known = {}

    def lines(values):
        key = json.dumps(values)
        if key not in known:
            known[key] = _all_lines(helm.rendered(values))
        return known[key]

    return lines


@pytest.mark.parametrize("path", EFFECTS)
def test_a_value_changes_what_its_row_says(lines_with, path):
    row = EFFECTS[path]
    before, after = lines_with(row.beside), lines_with(_merged(row.beside, path, row.value))
    assert row.adds or row.removes
    assert set(row.adds) <= after - before
    assert set(row.removes) <= before - after


REFUSED = {
    "unknown value": ({"replicas": 2}, "additional properties 'replicas' not allowed"),
    "misspelt value inside": ({"image": {"tags": "1"}}, "at '/image': additional properties 'tags' not allowed"),
    "unknown value of the webhook": (
        {"webhook": {"failurepolicy": "Fail"}},
        "at '/webhook': additional properties 'failurepolicy' not allowed",
    ),
    "mode": ({"mode": "on"}, "at '/mode': value must be one of 'audit', 'enforce'"),
    "enforce": ({"enforce": "dney"}, "at '/enforce': value must be one of 'off', 'warn', 'deny', false"),
    "enforce, true": ({"enforce": True}, "at '/enforce': value must be one of"),
    "unknown": ({"unknown": "deny"}, "at '/unknown': value must be one of 'refuse', 'allow'"),
    "strictSecurity": ({"strictSecurity": "false"}, "at '/strictSecurity': got string, want boolean"),
    "runAs": ({"runAs": 0}, "at '/runAs': value must be one of '65534', 65534, 'platform'"),
    "watchNamespaces": ({"watchNamespaces": "monitoring"}, "at '/watchNamespaces': got string, want array"),
    "watchNamespaces, no name": ({"watchNamespaces": ["*"]}, "at '/watchNamespaces/0': '*' does not match pattern"),
    "port": ({"webhook": {"port": 0}}, "at '/webhook/port': minimum: got 0, want 1"),
    "port of the operations": ({"webhook": {"port": 8080}}, "webhook.port=8080 is the operations port"),
    "port of the kubelet": (
        {"hostNetwork": True, "webhook": {"port": 10250}},
        "webhook.port=10250 is the port of the kubelet on the network of the node",
    ),
    "timeout": ({"webhook": {"timeoutSeconds": 31}}, "at '/webhook/timeoutSeconds': maximum: got 31, want 30"),
    "failurePolicy": ({"webhook": {"failurePolicy": "fail"}}, "at '/webhook/failurePolicy': value must be one of"),
    "a trial that blocks": (
        {"webhook": {"failurePolicy": "Fail"}},
        "webhook.failurePolicy=Fail with mode=audit would let a trial block pods",
    ),
    "selector": (
        {"webhook": {"objectSelector": {"a": "b"}}},
        "at '/webhook/objectSelector': additional properties 'a' not allowed",
    ),
    "label of the operator's pods": (
        {"commonLabels": {"managed-by": "vm-operator"}},
        "commonLabels must not have managed-by: the API server would call vmguard",
    ),
    "label of the operator's pods on ours": (
        {"podLabels": {"managed-by": "vm-operator"}},
        "podLabels must not have managed-by: the API server would call vmguard",
    ),
    "label that is a number": ({"podLabels": {"a": 1}}, "at '/podLabels/a': got number, want string"),
    "name of a Service": ({"fullnameOverride": "1st"}, "at '/fullnameOverride': '1st' does not match pattern"),
    "digest": ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match pattern"),
    "pull policy": ({"image": {"pullPolicy": "always"}}, "at '/image/pullPolicy': value must be one of"),
    "pull secrets": ({"imagePullSecrets": ["key"]}, "at '/imagePullSecrets/0': got string, want object"),
    "ServiceAccount without a name": (
        {"serviceAccount": {"create": False}},
        "serviceAccount.name is needed with serviceAccount.create=false",
    ),
    "Issuer without a name": (
        {"certManager": {"enabled": True}},
        "certManager.issuerRef.name is needed with certManager.enabled=true",
    ),
    "arguments": ({"extraArgs": "--debug"}, "at '/extraArgs': got string, want array"),
    "more objects": ({"extraObjects": ["kind: Pod"]}, "at '/extraObjects/0': got string, want object"),
    "interval": ({"serviceMonitor": {"interval": "soon"}}, "at '/serviceMonitor/interval': 'soon' does not match"),
    "runbook": ({"rules": {"runbookUrl": "wiki"}}, "at '/rules/runbookUrl': 'wiki' does not match pattern"),
    "dual stack": ({"service": {"ipFamilies": ["IPv5"]}}, "at '/service/ipFamilies/0': value must be one of"),
    "misspelt name": ({"dashboard": {"enabled": True}}, "additional properties 'dashboard' not allowed"),
}
"""Wrong values, and a part of the message."""


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_value_is_refused_with_the_reason(helm, name):
    values, message = REFUSED[name]
    done = helm.run("template", RELEASE, str(CHART), "--namespace", NAMESPACE, values=values)
    assert done.returncode != 0
    assert done.stdout == ""
    assert message in done.stderr


def test_helm_3_refuses_it_with_the_same_words(helm_3):
    for name in ("misspelt value inside", "enforce", "a trial that blocks"):
        values, message = REFUSED[name]
        done = helm_3.run("template", RELEASE, str(CHART), "--namespace", NAMESPACE, values=values)
        assert done.returncode != 0
        assert message in done.stderr


@pytest.mark.parametrize("text", ["enforce: off", "enforce: 'off'"])
def test_a_bare_off_is_off(helm, tmp_path, text):
    """YAML 1.1, which Helm reads, makes false of it."""
    (tmp_path / "values.yaml").write_text(text)
    rendered = helm.text("template", RELEASE, str(CHART), "--values", str(tmp_path / "values.yaml"))
    (deployment,) = (each for each in yaml.safe_load_all(rendered) if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "VMGUARD_ENFORCE", "value": "off"} in container["env"]
