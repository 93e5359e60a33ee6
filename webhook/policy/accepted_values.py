"""The accepted values of security context fields beside the strict ones: named tests for `context_fields`.

A test accepts only what it knows: no other type, no other member of an object, no other name. Where the Pod Security
level `restricted` has an opinion, its lists count (`webhook.podsecurity`).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from webhook.podsecurity import app_armor, capabilities_restricted, se_linux, seccomp_baseline, sysctls

Test = Callable[[Any, int], bool]
"""Whether a value is accepted at Kubernetes 1.`minor`."""

LARGEST_ID = 2**31 - 1
"""The largest user or group id that Kubernetes accepts."""


class Accepted(msgspec.Struct, frozen=True):
    """Accepted values. `text` names them for people; `members` are the names that an object (of the list) may have."""

    text: str
    allows: Test
    members: frozenset[str] = frozenset()


def one_of(*values: str) -> Accepted:
    """Exactly these texts."""
    return Accepted(" or ".join(values), _text_in(frozenset(values)))


def _text(value: Any, _: int) -> bool:
    return isinstance(value, str)


def _text_in(values: frozenset[str]) -> Test:
    return lambda value, _: isinstance(value, str) and value in values


def _not_root(value: Any, _: int) -> bool:
    return type(value) is int and 0 < value <= LARGEST_ID


def _list_of(test: Test) -> Test:
    return lambda value, minor: isinstance(value, list) and all(test(each, minor) for each in value)


def _object_of(required: str = "", **members: Test) -> Test:
    def allows(value: Any, minor: int) -> bool:
        if not isinstance(value, dict) or (required and value.get(required) is None):
            return False
        present = {name: each for name, each in value.items() if each is not None}
        return all(name in members and members[name](each, minor) for name, each in present.items())

    return allows


def _profile(text: str, types: frozenset[str]) -> Accepted:
    """A seccomp or AppArmor profile, with the name of a profile exactly where its type is Localhost."""
    shape = _object_of("type", type=_text_in(types), localhostProfile=_text)

    def allows(value: Any, minor: int) -> bool:
        return shape(value, minor) and (value.get("localhostProfile") is not None) == (value["type"] == "Localhost")

    return Accepted(text, allows, frozenset({"type", "localhostProfile"}))


def _drops_all(value: Any, minor: int) -> bool:
    return _list_of(_text)(value, minor) and "ALL" in value


def _no_windows_root(value: Any, _: int) -> bool:
    return isinstance(value, str) and value.rpartition("\\")[2].lower() != "containeradministrator"


def _seccomp_annotation(value: Any, _: int) -> bool:
    return value in {"runtime/default", "docker/default"} or value.startswith("localhost/")


NOTHING_ELSE = Accepted("", lambda _, __: False)
USER = Accepted("any user but 0", _not_root)
GROUP = Accepted("any group but 0", _not_root)
GROUPS = Accepted("groups other than 0", _list_of(_not_root))
DROPPED = Accepted("a list with ALL", _drops_all)
ADDED = Accepted(
    f"{' or '.join(sorted(capabilities_restricted.ADDABLE))} alone", _list_of(_text_in(capabilities_restricted.ADDABLE))
)
SECCOMP = _profile("type RuntimeDefault or Localhost", seccomp_baseline.TYPES)
APP_ARMOR = _profile("type RuntimeDefault or Localhost", app_armor.TYPES)
SECCOMP_ANNOTATION = Accepted("runtime/default or localhost/…", _seccomp_annotation)
APP_ARMOR_ANNOTATION = Accepted("runtime/default or localhost/…", lambda value, _: app_armor.confines(value))
SE_LINUX = Accepted(
    "a type that Pod Security allows; no user, no role; any level",
    _object_of(
        level=_text,
        type=lambda value, minor: isinstance(value, str) and value in se_linux.types(minor),
        user=_text_in(frozenset({""})),
        role=_text_in(frozenset({""})),
    ),
    frozenset({"level", "type", "user", "role"}),
)
SYSCTLS = Accepted(
    "sysctls that Pod Security allows",
    _list_of(
        _object_of(
            "name", name=lambda value, minor: isinstance(value, str) and value in sysctls.safe(minor), value=_text
        )
    ),
    frozenset({"name", "value"}),
)
WINDOWS = Accepted(
    "no hostProcess, and any user but ContainerAdministrator",
    _object_of(
        hostProcess=lambda value, _: value is False,
        runAsUserName=_no_windows_root,
        gmsaCredentialSpec=_text,
        gmsaCredentialSpecName=_text,
    ),
    frozenset({"hostProcess", "runAsUserName", "gmsaCredentialSpec", "gmsaCredentialSpecName"}),
)
