"""Label selectors of Kubernetes, evaluated on labels. Pure.

Source: `metav1.LabelSelector`. All parts of a selector must match. An empty selector matches everything. A requirement
with an operator that is not known may match, as an audit never takes for absent what it does not understand.
"""

from collections.abc import Mapping
from typing import Any

from webhook.policy.json_access import object_of, objects_of

Labels = Mapping[str, str | None]


def matches(selector: Any, labels: Labels) -> bool:
    """Whether a raw label selector matches, or may match, an object with these labels."""
    found = object_of(selector)
    if any(labels.get(key) != value for key, value in object_of(found.get("matchLabels")).items()):
        return False
    return all(_holds(each, labels) for each in objects_of(found.get("matchExpressions")))


def _holds(requirement: dict[str, Any], labels: Labels) -> bool:
    key, values = requirement.get("key"), requirement.get("values")
    values = values if isinstance(values, list) else []
    if not isinstance(key, str):
        return True
    present, value = key in labels, labels.get(key)
    match requirement.get("operator"):
        case "In":
            return present and value in values
        case "NotIn":
            return not present or value not in values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
    return True
