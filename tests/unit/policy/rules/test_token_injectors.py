"""api-access: a webhook that uses the token of a pod is a warning where the pod has none."""

import pytest

from tests.support.preview_warnings import warnings_on

INJECT = "vault.hashicorp.com/agent-inject"
VOLUME = "vault.hashicorp.com/agent-service-account-token-volume-name"
TOKEN = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def _warnings(annotations, kind="VMAuth", **spec):
    annotated = {"disableAutomountServiceAccountToken": True, "podMetadata": {"annotations": annotations}, **spec}
    return warnings_on(kind, annotated, "api-access")


def test_the_vault_injector_finds_no_token():
    assert _warnings({INJECT: "true"}, "VMAlert") == [
        "vmalert: the Vault injector copies a container's token mount (vault.hashicorp.com/agent-inject), which may be"
        " missing here: add a projected token volume, named in annotation"
        " vault.hashicorp.com/agent-service-account-token-volume-name [api-access]"
    ]


@pytest.mark.parametrize(
    ("annotations", "spec", "count"),
    [
        ({INJECT: "false"}, {}, 0),
        ({INJECT: "1"}, {}, 1),
        ({INJECT: "T"}, {}, 1),
        ({INJECT: "yes"}, {}, 0),
        ({INJECT: "true"}, {"disableAutomountServiceAccountToken": False}, 0),
        ({INJECT: "true", VOLUME: "t"}, {"volumes": [TOKEN]}, 0),
        ({INJECT: "true", VOLUME: "other"}, {"volumes": [TOKEN]}, 1),
        ({INJECT: "true"}, {"volumes": [TOKEN], "volumeMounts": [{"name": "t", "mountPath": PATH}]}, 0),
        ({INJECT: "true", "vault.hashicorp.com/auth-type": "approle"}, {}, 0),
        ({"vault.security.banzaicloud.io/vault-addr": "https://vault:8200"}, {}, 1),
        ({"secrets-webhook.security.bank-vaults.io/vault-addr": "https://vault:8200"}, {}, 1),
        ({"consul.hashicorp.com/connect-inject": "true"}, {}, 1),
        ({"consul.hashicorp.com/connect-inject": "false"}, {}, 0),
        (
            {"consul.hashicorp.com/connect-inject": "true"},
            {"volumes": [TOKEN], "volumeMounts": [{"name": "t", "mountPath": PATH}]},
            0,
        ),
        ({"kuma.io/sidecar-injection": "enabled"}, {}, 0),
        ({}, {}, 0),
    ],
    ids=str,
)
def test_it_counts_where_the_webhook_uses_the_token_of_the_pod(annotations, spec, count):
    assert len(_warnings(annotations, "VMAlert", **spec)) == count


@pytest.mark.parametrize(
    ("labels", "annotations", "count"),
    [
        ({"kuma.io/sidecar-injection": "enabled"}, {}, 1),
        ({"kuma.io/sidecar-injection": "enabled"}, {"kuma.io/service-account-token-volume": "t"}, 0),
        ({"kuma.io/sidecar-injection": "disabled"}, {"kuma.io/sidecar-injection": "enabled"}, 0),
        ({INJECT: "true", "consul.hashicorp.com/connect-inject": "true"}, {}, 0),
    ],
    ids=str,
)
def test_a_label_calls_the_sidecar_of_kuma_and_no_other_webhook(labels, annotations, count):
    spec = {"podMetadata": {"labels": labels, "annotations": annotations}, "volumes": [TOKEN]}
    assert len(warnings_on("VMAlert", {**spec, "disableAutomountServiceAccountToken": True}, "api-access")) == count


def test_other_labels_make_no_more_pods_to_judge():
    """Identical pods are judged once, and so many zones with a label of their own are."""
    zones = [{"name": f"z{n}", "vmagent": {"spec": {"podMetadata": {"labels": {"z": f"{n}"}}}}} for n in range(20)]
    common = {"vmagent": {"spec": {"port": "80"}}}
    (warning,) = warnings_on("VMDistributed", {"zones": zones, "zoneCommon": common}, "low-port")
    assert warning.startswith("zones[z0].vmagent, zones[z1].vmagent, ")


@pytest.mark.parametrize("kind", ["VMAgent", "VMAuth"])
def test_the_token_of_a_container_that_needs_the_api_is_not_relied_on(kind):
    """It may come after the injector looked, and another container than the agent's has it."""
    assert len(_warnings({INJECT: "true"}, kind)) == 1


def test_it_counts_whatever_disables_the_token():
    spec = {"podMetadata": {"annotations": {INJECT: "true"}}}
    assert len(warnings_on("VMAlert", spec, "api-access", VMGUARD_DISABLE_AUTOMOUNT="true")) == 1
