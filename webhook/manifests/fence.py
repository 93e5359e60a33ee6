"""The fence: a policy of the API server that limits what vmguard's ServiceAccount may write.

RBAC allows that account to patch the two webhook configurations, and cannot limit the fields. Who may change any field
of them can have the API server send every object, Secrets included, to any address. The fence allows a change of
`clientConfig.caBundle` and denies the rest. It binds that account alone.

The expressions list what may differ and compare everything else that is there. So a field of a newer Kubernetes is
compared too. Needs ValidatingAdmissionPolicy v1, which Kubernetes has since 1.30.
"""

from typing import Any

import msgspec

from webhook.manifests.webhooks import NAME

ADMISSION_GROUP = "admissionregistration.k8s.io"

BUNDLE_WRITTEN = "caBundle"
"""The field of `clientConfig` that vmguard may change."""

SERVER_WRITTEN = ("managedFields", "generation", "resourceVersion")
"""Fields of metadata that the API server itself changes with every write."""


class ServiceAccount(msgspec.Struct, frozen=True):
    """The account of vmguard's pods."""

    namespace: str = "vmguard-system"
    name: str = "vmguard"

    @property
    def user(self) -> str:
        """The name of the user that the API server takes its tokens for."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


class FenceRule(msgspec.Struct, frozen=True):
    """One validation of the policy: a CEL expression that must be true, and what is denied where it is not."""

    expression: str
    message: str


def fence(account: ServiceAccount, configuration: str = NAME) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ValidatingAdmissionPolicy and its binding; `configuration` is the name of both webhook configurations."""
    name = f"{configuration}-fence"
    policy = {
        **_head("ValidatingAdmissionPolicy", name),
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [ADMISSION_GROUP],
                        "apiVersions": ["*"],
                        "operations": ["*"],
                        "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
                    }
                ]
            },
            "matchConditions": [{"name": "vmguard", "expression": f"request.userInfo.username == '{account.user}'"}],
            "variables": [
                {"name": "entries", "expression": "object.?webhooks.orValue([])"},
                {"name": "old", "expression": "oldObject.?webhooks.orValue([])"},
            ],
            "validations": [
                {"expression": rule.expression, "message": f"vmguard {rule.message}", "reason": "Forbidden"}
                for rule in _rules(configuration)
            ],
        },
    }
    binding = {
        **_head("ValidatingAdmissionPolicyBinding", name),
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return policy, binding


def _rules(configuration: str) -> tuple[FenceRule, ...]:
    only_names = "variables.entries.map(e, e.name) == variables.old.map(e, e.name)"
    unique = "variables.entries.all(e, variables.entries.exists_one(f, f.name == e.name))"
    return (
        FenceRule("request.operation == 'UPDATE'", "may not create or delete a webhook configuration"),
        _of_update(f"request.name == '{configuration}'", f"may only change the configuration {configuration}"),
        _of_update(_same("object", "oldObject", "metadata", "webhooks"), "may change no field but webhooks"),
        _of_update(_same("object.metadata", "oldObject.metadata", *SERVER_WRITTEN), "may not change metadata"),
        _of_update(f"{only_names} && {unique}", "may not add, remove, rename or move a webhook"),
        _of_update(_of_entries("", "clientConfig"), "may change no field of a webhook but clientConfig.caBundle"),
        _of_update(_of_entries(".clientConfig", BUNDLE_WRITTEN), "may change no field of clientConfig but caBundle"),
    )


def _of_update(expression: str, message: str) -> FenceRule:
    return FenceRule(f"request.operation != 'UPDATE' || ({expression})", message)


def _of_entries(part: str, *but: str) -> str:
    """Compares a part of each entry with that of the old entry of its name; another rule sees that names are unique."""
    same = _same(f"e{part}", f"o{part}", *but)
    return f"variables.entries.all(e, variables.old.exists(o, o.name == e.name && {same}))"


def _same(new: str, old: str, *but: str) -> str:
    """Compares two maps, key by key, except for some keys."""
    keys = ", ".join(f"'{key}'" for key in but)
    free = f"k in [{keys}]"
    return f"{new}.all(k, {free} || (k in {old} && {new}[k] == {old}[k])) && {old}.all(k, {free} || k in {new})"


def _head(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": f"{ADMISSION_GROUP}/v1", "kind": kind, "metadata": {"name": name}}
