"""The form of names in Kubernetes: what can be the name of an object, of a namespace, of a kind, or a UID.

A text without this form is no name of a stored object. vmguard never looks it up, builds it into a path, or caches it.
"""

import re

LONGEST_NAME = 253
"""Characters of an object's name, of an API group, and of any UID that vmguard takes; real UIDs have 36."""

LONGEST_LABEL = 63
"""Characters of a namespace, a kind, an API version, and a label's value."""

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_NAMESPACE = re.compile(rf"(?=.{{1,63}}\Z){_LABEL}")


def is_subdomain(name: str) -> bool:
    """Whether it can be the name of an object: a DNS subdomain as of RFC 1123."""
    return len(name) <= LONGEST_NAME and _SUBDOMAIN.fullmatch(name) is not None


def is_path_segment(name: str) -> bool:
    """Whether it can be the name of a Role or a RoleBinding: any text that is one segment of a path."""
    return 0 < len(name) <= LONGEST_NAME and name not in {".", ".."} and "/" not in name and "%" not in name


def is_namespace(name: str) -> bool:
    """Whether it can be the name of a namespace: a DNS label as of RFC 1123."""
    return len(name) <= LONGEST_LABEL and _NAMESPACE.fullmatch(name) is not None
