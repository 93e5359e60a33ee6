"""A reflector replaces a cached object only when a decision may depend on the change."""

import pytest

from tests.support.reflectors import SINGLES
from webhook.cluster import watching
from webhook.cluster.reflector import Reflector
from webhook.objects import KubeObject, Metadata, OwnerReference
from webhook.telemetry.log import Log


def test_of_the_owners_of_an_owner_its_controller_is_kept():
    """A user who may create objects can give them a megabyte of owner references."""
    others = [OwnerReference("v1", "ConfigMap", f"m{number}", "u") for number in range(1000)]
    controller = OwnerReference("apps/v1", "Deployment", "d", "u", controller=True)
    found = KubeObject(Metadata("rs", owner_references=[*others, controller, *others]))
    assert watching._owner(found).metadata.owner_references == [controller]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 0}, {"a": False}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 10**30}, {"a": 10**30}, True),
        ({"a": 10**5000}, {"a": 10**5000}, False),
        (None, {}, False),
        ("deep", "deep", False),
    ],
)
def test_an_object_stays_while_it_can_be_seen_to_say_the_same(before, after, stays):
    """Some Pythons decode what is nested deeper than others can compare."""

    def made(spec):
        if spec == "deep":
            spec = {}
            for _ in range(100_000):
                spec = {"a": spec}
        return KubeObject(Metadata("x", namespace="n"), spec)

    reflector = Reflector(None, SINGLES, "n", lambda found: found, Log("error"))
    first, second = made(before), made(after)
    reflector._put(("n", "x"), first)
    reflector._put(("n", "x"), second)
    assert (reflector.objects["n", "x"] is first) is stays
