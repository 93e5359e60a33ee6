"""Pods must not turn the runtime's AppArmor profile off.

Fields, of the pod and of every kind of container:
    securityContext.appArmorProfile.type
        Allowed: appArmorProfile absent, "RuntimeDefault", "Localhost".
    metadata.annotations["container.apparmor.security.beta.kubernetes.io/*"], how it was said before 1.30
        Allowed: absent, "", "runtime/default", "localhost/*".

Every version.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, noun, quoted, setters
from webhook.podsecurity.pod_view import Json, PodView, object_at, string_at

TYPES = frozenset({"RuntimeDefault", "Localhost"})
"""Profile types that confine a container."""

ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
"""The prefix; the container's name follows."""

_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def _bad_type(security: Json) -> str | None:
    profile = object_at(security, "appArmorProfile")
    if profile is None:
        return None
    kind = string_at(profile, "type")
    return None if kind in TYPES else kind


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def confines(value: str) -> bool:
    """Whether a value of the annotation names a profile; "" is the runtime's own."""
    return value in {"", "runtime/default"} or value.startswith("localhost/")


def _bad_annotations(annotations: Json) -> list[str]:
    """Each as key="value", with the value escaped as Go's %q verb does: that is the API server's text."""
    bad = []
    for key in annotations:
        value = string_at(annotations, key)
        if not key.startswith(ANNOTATION) or confines(value):
            continue
        bad.append(f'{key}="{"".join(map(_escape, value))}"')
    return sorted(bad)


def _v1_0(pod: PodView) -> Forbidden | None:
    by_pod = _bad_type(pod.security)
    names: list[str] = []
    kinds = set() if by_pod is None else {by_pod}
    for container in pod.containers:
        kind = _bad_type(container.security)
        if kind is not None:
            names.append(container.name)
            kinds.add(kind)
    annotations = _bad_annotations(pod.annotations)
    if not kinds and not annotations:
        return None
    who = [setters(names, pod=by_pod is not None)] if kinds else []
    if annotations:
        who.append(noun("annotation", len(annotations)))
    values = sorted(kinds) + annotations
    return Forbidden(
        noun("forbidden AppArmor profile", len(values)),
        f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}",
    )


CHECK = Check("appArmorProfile", Level.BASELINE, ((OLDEST, _v1_0),))
