"""The strict fill as a native policy in CEL, from the same table of fields; `python -m bench.cel_policy` prints it.

Labels are all that it can judge by, as it can look up no owner. It fills containers that have no security context at
all, and the first ten of a list.
"""

from typing import Any

import yaml

from webhook.facts import NEWEST_MINOR
from webhook.policy.components import COMPONENTS
from webhook.policy.rules.wanted_context import nested, strict_context
from webhook.policy.workload import MANAGED_BY

_NAME = "strict"
_VERSION = "admissionregistration.k8s.io/v1"
_MOST_CONTAINERS = 10


def strict_policy(minor: int = NEWEST_MINOR) -> list[dict[str, Any]]:
    """The policy and its binding, with the fields of Kubernetes 1.`minor` for pods that no DaemonSet runs."""
    pod, container = strict_context(False, False, False, False, minor)
    label, value = MANAGED_BY
    names = dict.fromkeys(name for component in COMPONENTS for name in component.containers)
    has_label = f"has(object.metadata.labels) && object.metadata.labels[?{_cel(label)}] == optional.of({_cel(value)})"
    fills = [_filled_field(field, strict) for field, strict in pod.items()]
    fills += [
        _filled_containers("containers"),
        f"(!has(object.spec.initContainers) ? [] : {_filled_containers('initContainers')})",
    ]
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "operators", "expression": has_label}],
        "variables": [
            {"name": "operators", "expression": _cel(list(names))},
            {"name": "wanted", "expression": _cel(nested(container))},
            {"name": "indices", "expression": _cel(list(range(_MOST_CONTAINERS)))},
        ],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": " +\n".join(fills)}}],
    }
    about = {"apiVersion": _VERSION, "metadata": {"name": _NAME}}
    return [
        {**about, "kind": "MutatingAdmissionPolicy", "spec": spec},
        {**about, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": _NAME}},
    ]


def _filled_field(field: str, value: Any) -> str:
    context = "spec.securityContext"
    shown = f"Object.{context}.{field}{{{_members(value)}}}" if isinstance(value, dict) else _cel(value)
    return (
        f"(has(object.{context}.{field}) ? [] : [JSONPatch{{"
        f"op: 'add', path: '/{context.replace('.', '/')}/{field}', value: {shown}}}])"
    )


def _filled_containers(group: str) -> str:
    return (
        f"variables.indices.filter(i, i < size(object.spec.{group})"
        f" && object.spec.{group}[i].name in variables.operators && !has(object.spec.{group}[i].securityContext))"
        f".map(i, JSONPatch{{op: 'add', path: '/spec/{group}/' + string(i) + '/securityContext',"
        " value: variables.wanted})"
    )


def _members(value: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {_cel(each)}" for name, each in value.items())


def _cel(value: Any) -> str:
    """A value as a CEL literal; the values of a map may differ in type."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_cel(name)}: dyn({_cel(each)})" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_cel, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


if __name__ == "__main__":
    print(yaml.safe_dump_all(strict_policy(), sort_keys=False, width=120))
