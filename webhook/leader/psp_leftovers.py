"""Roles and RoleBindings that vmguard may have left behind: which of them one round of the reconciler looks at.

Whoever may write Roles in a namespace can write any number that look like vmguard's. So a round looks at some of each
namespace, the namespaces in turn, and the next round goes on after them. It holds names and UIDs only, a bounded number
of them. Pure: nothing is read or removed here.
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
"""Leftovers of one namespace that one round looks at; each costs a lookup, and a removal where the owner is gone."""

MOST = 200
"""Leftovers of all namespaces that one round looks at."""

_MOST_HELD = 5000
"""Leftovers that one round holds."""


class Leftover(msgspec.Struct, frozen=True, order=True):
    """An object that looks like vmguard's and that no watched resource needs, in the state with this UID.

    `kind`, `owner` and `owner_uid` are those of the resource that it says to belong to; `owner` is "" where no resource
    can have that name.
    """

    place: NamespacedName
    uid: str
    kind: str
    owner: str
    owner_uid: str


class Leftovers:
    """The leftovers of one collection that one round looks at.

    `passed` is, by namespace, the last name that an earlier round has looked at, if there were more. Rounds share it.
    """

    def __init__(self, passed: dict[str, str]) -> None:
        self._passed = passed
        self._found: dict[str, list[Leftover]] = {}
        self._held = 0
        self._unfinished: set[str] = set()

    def add(self, place: NamespacedName, thing: Object) -> None:
        """Take note of a leftover, unless it is none for this round."""
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
        """Those that this round looks at, of each namespace in turn; the next round goes on after these."""
        all_found = [(namespace, each) for namespace, found in self._found.items() for each in found]
        last: dict[str, str] = {}
        for count, leftover in enumerate(in_turn(all_found)):
            if count < MOST:
                last[leftover.place[0]] = leftover.place[1]
                yield leftover
            else:
                self._unfinished.add(leftover.place[0])
        for namespace in self._passed.keys() - self._unfinished:
            del self._passed[namespace]  # the next round begins anew there
        self._passed.update({namespace: last[namespace] for namespace in self._unfinished & last.keys()})

    @property
    def unfinished(self) -> bool:
        """Whether the next round has more to look at."""
        return bool(self._unfinished)


def _leftover(place: NamespacedName, thing: Object) -> Leftover | None:
    """The object as a leftover; None where it belongs to a kind that makes no pods, and so was not made here."""
    metadata = thing["metadata"]
    owner = next(each for each in metadata["ownerReferences"] if each["apiVersion"].partition("/")[0] == GROUP)
    kind, name, uid = owner["kind"], owner["name"], owner["uid"]
    if kind not in BY_KIND:
        return None
    possible = is_subdomain(name) and len(uid) <= LONGEST_NAME
    return Leftover(place, metadata["uid"], kind, name if possible else "", uid if possible else "")
