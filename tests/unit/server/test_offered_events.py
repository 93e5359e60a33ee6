"""A pod that is not created is offered as an event on its resource; nothing else is."""

import json

import pytest

from tests.support.asgi import admission
from tests.support.sample_pods import UNREACHABLE, Answers, pod, resource, vmsingle
from webhook.admission.admission_review import review_of
from webhook.facts import NEWEST_MINOR

WEAK = vmsingle(None, {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]})
GOOD = vmsingle()


def _offered(thing, objects, path="/mutate", source=None, *, dry_run=False, namespace="mon", **environment):
    """The outcome of one request, and the reasons of the events that it offers."""
    events = []
    asked = admission(objects, offer=events.append, **environment)
    if source:
        asked.app._source = source
    review = json.loads(review_of(thing, uid="u", namespace=namespace, name=thing["metadata"]["name"]))
    review["request"]["dryRun"] = dry_run
    asked.ask(path, json.dumps(review).encode())
    (line,) = asked.lines()
    return line["outcome"], [event.reason for event in events]


@pytest.mark.parametrize("path", ["/mutate", "/mutate/enforced", "/validate/enforced", "/mutate/mode-enforce/enforced"])
def test_a_denied_pod_is_offered_on_each_path(path):
    assert _offered(*WEAK, path, VMGUARD_ENFORCE="deny") == ("denied", ["PodDenied"])


def test_a_refused_pod_is_offered():
    source = Answers({"VMSingle": UNREACHABLE}, GOOD[1], NEWEST_MINOR)
    assert _offered(*GOOD, source=source) == ("refused", ["PodNotJudged"])


@pytest.mark.parametrize("namespace", ["invented", "mon"])
def test_invented_pods_offer_nothing(namespace):
    """An attacker needs no permission and no UID; the victim's namespace is found, and what the pod names is not."""
    thing = pod(resource("VMSingle", "x"), namespace=namespace)
    thing["metadata"]["ownerReferences"][0]["uid"] = "made-up"
    source = Answers({"VMSingle": UNREACHABLE}, GOOD[1], NEWEST_MINOR)
    assert _offered(thing, GOOD[1], "/mutate/mode-enforce", source, namespace=namespace) == ("refused", [])


@pytest.mark.parametrize("path", ["/mutate", "/validate/enforced"])
def test_a_dry_run_offers_nothing(path):
    """The entries for pods declare it: they have `sideEffects: NoneOnDryRun`."""
    assert _offered(*WEAK, path, dry_run=True, VMGUARD_ENFORCE="deny") == ("denied", [])


def test_in_a_trial_an_admission_offers_nothing():
    """The pod is created, so the survey finds it."""
    assert _offered(*WEAK, VMGUARD_ENFORCE="deny", VMGUARD_MODE="audit") == ("would-deny", [])


def test_a_pod_that_is_filled_offers_nothing():
    assert _offered(*GOOD) == ("patched", [])


def test_a_denied_resource_offers_nothing():
    """It may not exist, and the user who applies it reads the answer. Its parent exists, and is not what was denied."""
    parent = resource("VMDistributed", "all")
    custom = resource("VMSingle", spec={"useStrictSecurity": "yes"}, owner=parent)
    assert _offered(custom, [parent, custom], "/validate") == ("denied", [])
