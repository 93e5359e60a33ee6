"""The findings of rules: a change to make, a violation that needs a manual change, or a warning.

Each has the id of its rule, the reason, and the setting that requires it (`source`: an environment variable or a field
of a custom resource). A finding is data and does nothing.
"""

from typing import Any, ClassVar

import msgspec

from webhook.admission.patch import Edit


class Change(msgspec.Struct, frozen=True):
    """A field to fill or an array element to remove."""

    kind: ClassVar[str] = "change"

    rule: str
    edit: Edit
    why: str
    source: str


class Violation(msgspec.Struct, frozen=True, tag=True):
    """A field that vmguard cannot fill. `found` and `wanted` are JSON values; `denies` denies the object in any case.

    `container` is the name of the container that `path` leads into, "" for a field of the pod or of a resource.
    """

    kind: ClassVar[str] = "violation"

    rule: str
    path: str
    found: Any
    wanted: Any
    why: str
    source: str
    denies: bool = False
    container: str = ""


class Warn(msgspec.Struct, frozen=True, gc=False, tag=True):
    """One line for a person; neither changes nor refuses anything.

    `noncompliant` is true of a warning at a resource about pods that `enforce: deny` denies. `about` has the names that
    the rule's fix needs, such as those of a container and of a path. `fatal` is true where a container surely does not
    start, or ends at once.
    """

    kind: ClassVar[str] = "warn"

    rule: str
    text: str
    noncompliant: bool = False
    about: tuple[str, ...] = ()
    fatal: bool = False


Finding = Change | Violation | Warn


class Fix(msgspec.Struct, frozen=True):
    """What someone can copy to make a finding go away.

    `fields` are merged into the part of the component that the pod belongs to, or with `of_resource` into the whole
    resource. In lists of named objects those of the same name are merged, any other list is replaced, and null removes
    a field. `renames` are old and new names of volumes. `notes` are lines for a person, `command` is a command line.
    """

    fields: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    command: str = ""
    of_resource: bool = False


class NothingToCopy(msgspec.Struct, frozen=True):
    """The declaration of a rule whose findings need no fix of their own, and why."""

    because: str
