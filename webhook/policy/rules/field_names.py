"""The names of fields that decide about pods, and what people write instead. A part of `misplaced-field`."""

import re
from collections.abc import Mapping
from functools import lru_cache

from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.rules.wanted_context import OWN_FIELDS

STRICT = "useStrictSecurity"
CONTEXT = "securityContext"
FIELDS = (
    CONTEXT,
    STRICT,
    "disableAutomountServiceAccountToken",
    "containers",
    "initContainers",
    "volumes",
    "volumeMounts",
    "podMetadata",
    "hostNetwork",
    "extraArgs",
)
"""The fields of a component that decide about its pods and their security."""

_OTHER_NAMES = {
    "podsecuritycontext": CONTEXT,
    "containersecuritycontext": CONTEXT,
    "automountserviceaccounttoken": "disableAutomountServiceAccountToken",
    "strictsecurity": STRICT,
    "enablestrictsecurity": STRICT,
    "usestrict": STRICT,
    "usestrictsecuritycontext": STRICT,
    "strictsecuritycontext": STRICT,
    "podannotations": "podMetadata",
    "sidecars": "containers",
    **{
        f"{word}{field.lower()}": field
        for word in ("extra", "additional")
        for field in ("containers", "initContainers", "volumes", "volumeMounts")
    },
}
"""What people call these fields elsewhere, in small letters."""

_OTHER_PARTS = {"commonzone": "zoneCommon"}
"""What people call parts of a resource, in small letters."""

TEMPLATES = ("template", "podTemplate")
"""What a resource calls a template of pods, which no kind of the operator has."""

WITHIN_CONTEXT = frozenset(
    {"pod", "container", CONTEXT.lower(), *(name for name, field in _OTHER_NAMES.items() if field == CONTEXT)}
)
"""What people call an object inside a securityContext, in small letters."""

_LONGEST_NAME = 64
_ALMOST = 0.9
_NEAR = 0.85
"""How similar a name must be among few names."""

_OF_DATABASE = re.compile("^v[mlt](?=[a-z])")
"""What names of components and children begin with: `vmstorage`, `vlstorage`."""


def nearest(field: str, names: tuple[str, ...]) -> str:
    """The one of a few names that a field is meant to be, "" for none."""
    return _nearest_plain(plain(field), names)


@lru_cache(1024)
def _nearest_plain(wanted: str, names: tuple[str, ...]) -> str:
    known = {form: name for name in names for form in (_of_any_kind(plain(name)), plain(name))}
    known |= {alias: name for alias, name in _OTHER_PARTS.items() if name in names}
    forms = dict.fromkeys((wanted, _of_any_kind(wanted)))
    found = next((known[form] for form in forms if form in known), "")
    return found or next((known[near] for form in forms if (near := _similar(form, known, _NEAR))), "")


def _similar(wanted: str, known: Mapping[str, str], least: float) -> str:
    """The known name that is most like a name, "" for none; a name of about the same length."""
    if not any(abs(len(wanted) - len(each)) <= 1 for each in known):
        return ""
    from rapidfuzz import process  # noqa: PLC0415 - hardly ever needed
    from rapidfuzz.distance import Indel  # noqa: PLC0415

    found = process.extractOne(wanted, known.keys(), scorer=Indel.normalized_similarity, score_cutoff=least)
    return str(found[0]) if found else ""


def _of_any_kind(name: str) -> str:
    return _OF_DATABASE.sub("", name)


def meant_field(field: str) -> str:
    """The field that a name is meant to be, "" for none: the same but for case, another name, or one letter off."""
    return _meant_plain(plain(field))


def named_field(field: str) -> str:
    """The field with that name but for case, or with that other name, "" for none."""
    return _PLAIN.get(plain(field)) or _OTHER_NAMES.get(plain(field), "")


@lru_cache(1024)
def _meant_plain(wanted: str) -> str:
    return named_field(wanted) or _PLAIN.get(_similar(wanted, _PLAIN, _ALMOST), "")


def plain(field: str) -> str:
    """The beginning of a name in small letters, without hyphens and underscores."""
    return field[:_LONGEST_NAME].lower().replace("_", "").replace("-", "")


_PLAIN = {plain(field): field for field in FIELDS} | {plain(field): f"{CONTEXT}.{field}" for field in OWN_FIELDS}

_NAMES = frozenset(
    plain(name)
    for name in (
        *("spec", "zones", "zoneCommon", *TEMPLATES, *WITHIN_CONTEXT, *OWN_FIELDS),
        *(field for components in BY_KIND.values() for each in components for field in each.path[1:]),
        *(
            field
            for children in PARENTS.values()
            for each in children.values()
            for field in (each.field, *each.without)
        ),
    )
)

_PARTS = tuple(
    dict.fromkeys(
        (
            *("spec", "zones", "zoneCommon"),
            *(field for components in BY_KIND.values() for each in components for field in each.path[1:]),
            *(each.field for children in PARENTS.values() for each in children.values()),
        )
    )
)


def reads(field: str) -> bool:
    """Whether a field of that name may be one that stands in the wrong place or has a wrong case."""
    return plain(field) in _NAMES or bool(meant_field(field)) or bool(nearest(field, _PARTS))
