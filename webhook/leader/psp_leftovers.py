"""Leftovers: Roles and RoleBindings of vmguard that nothing needs, and the choice of those for one round.

A user who may write Roles in a namespace can write any number that look like vmguard's. So a round of the reconciler
checks some leftovers of each namespace, the namespaces in turn, and the next round continues after them. This module
stores only names and UIDs, in a limited number. Pure: it reads and removes nothing.
"""

from bisect import insort
from collections.abc import Iterator

import msgspec

from webhook.leader.in_turn import in_turn
from webhook.leader.psp_objects import NamespacedName, Object
from webhook.name_forms import LONGEST_NAME, is_subdomain
from webhook.policy.components import BY_KIND
from webhook.policy.custom_resources import GROUP

MOST_OF_ONE = 20
"""Most leftovers of one namespace that one round checks; each costs a lookup, and a removal if the owner is gone."""

MOST = 200
"""Most leftovers of all namespaces that one round checks."""

_MOST_HELD = 5000
"""Most leftovers that one round stores."""


class Leftover(msgspec.Struct, frozen=True, order=True):
    """An object with this UID that looks like vmguard's and that no watched resource needs.

    `kind`, `owner` and `owner_uid` are those of the resource in its owner reference; `owner` is "" if no resource can
    have that name.
    """

    place: NamespacedName
    uid: str
    kind: str
    owner: str
    owner_uid: str


class Leftovers:
    """The leftovers of one collection for one round.

    `passed` is, by namespace, the last name that an earlier round has checked, if there were more. Rounds share it.
    """

    def __init__(self, passed: dict[str, str]) -> None:
        self._passed = passed
        self._found: dict[str, list[Leftover]] = {}
        self._held = 0
        self._unfinished: set[str] = set()

    def add(self, place: NamespacedName, thing: Object) -> None:
        """Store a leftover, if it is one for this round."""
        namespace, name = place
        leftover = _leftover(place, thing)
        if leftover is None or name <= self._passed.get(namespace, ""):
            return
        found = self._found.setdefault(namespace, [])
        insort(found, leftover)
        self._held += 1
        if len(found) > MOST_OF_ONE or self._held > _MOST_HELD:
            found.pop()
            self._held -= 1
            self._unfinished.add(namespace)

    def taken(self) -> Iterator[Leftover]:
        """The leftovers for this round, of each namespace in turn; the next round continues after these."""
        all_found = [(namespace, each) for namespace, found in self._found.items() for each in found]
        last: dict[str, str] = {}
        for count, leftover in enumerate(in_turn(all_found)):
            if count < MOST:
                last[leftover.place[0]] = leftover.place[1]
                yield leftover
            else:
                self._unfinished.add(leftover.place[0])
        for namespace in self._passed.keys() - self._unfinished:
            del self._passed[namespace]  # the next round starts again there
        self._passed.update({namespace: last[namespace] for namespace in self._unfinished & last.keys()})

    @property
    def unfinished(self) -> bool:
        """Whether the next round has more to check."""
        return bool(self._unfinished)


def _leftover(place: NamespacedName, thing: Object) -> Leftover | None:
    """The object as a leftover; None if it belongs to a kind without pods, because vmguard made no such object."""
    metadata = thing["metadata"]
    owner = next(each for each in metadata["ownerReferences"] if each["apiVersion"].partition("/")[0] == GROUP)
    kind, name, uid = owner["kind"], owner["name"], owner["uid"]
    if kind not in BY_KIND:
        return None
    possible = is_subdomain(name) and len(uid) <= LONGEST_NAME
    return Leftover(place, metadata["uid"], kind, name if possible else "", uid if possible else "")
