"""A decision that was kept is the decision that would be made."""

import asyncio
import json

import pytest

from tests.support.golden import CASES
from tests.support.pods import pod, resource, vmsingle, workload
from webhook.admission.review import decode, review_of
from webhook.admit import admit
from webhook.offline.facts import FileFacts
from webhook.settings import Settings


def _decide(body, source, settings):
    return asyncio.run(admit(decode(body), "mutate", source, settings, float("inf")))


def _told(decision):
    return decision.outcome, decision.patch, decision.warnings, decision.annotations, decision.findings


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_the_next_pod_of_a_template_gets_what_it_would_have_got(case):
    """Names, UIDs and the random suffix of the token volume differ between the pods of one template."""
    settings, source = Settings.from_environment(case.settings), FileFacts(case.objects, 37)
    first = _decide(case.review, source, settings)
    again = json.loads(case.review)
    volumes = again["request"]["object"]["spec"].get("volumes") or []
    suffixed = next((v["name"] for v in volumes if v["name"].startswith("kube-api-access-")), "kube-api-access-aaaaa")
    again["request"]["object"]["metadata"]["name"] = "another"
    body = json.dumps(again).replace(suffixed, "kube-api-access-zzzzz").encode()
    kept = _decide(body, source, settings)
    assert _told(kept) == _told(_decide(body, FileFacts(case.objects, 37), settings))
    if first.outcome != "unmanaged":
        assert kept.patch is first.patch


@pytest.mark.parametrize(
    "difference",
    [
        {"containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 0}}]},
        {"containers": [{"name": "vmsingle", "securityContext": {"runAsUser": 10**30}}]},
        {"containers": [{"name": "vmsingle"}, {"name": "config-reloader"}]},
        {"securityContext": {"fsGroup": 1}},
        {"os": {"name": "windows"}},
    ],
)
def test_a_pod_that_differs_is_decided_anew(difference):
    thing, objects = vmsingle()
    other, _ = vmsingle(pod_spec=difference)
    settings, source = Settings(), FileFacts(objects, 30)
    first, second = (_decide(_body(each), source, settings) for each in (thing, other))
    assert _told(second) == _told(_decide(_body(other), FileFacts(objects, 30), settings))
    assert _told(second) != _told(first)


def test_a_volume_that_the_user_wrote_is_not_taken_for_the_api_servers():
    """Whoever names a volume of their own like the API server's keeps it, whatever was decided before."""
    settings = Settings()
    spec = {"disableAutomountServiceAccountToken": True, "volumes": [{"name": "kube-api-access-users"}]}
    cr = resource("VMSingle", "db", spec)
    owner = workload("StatefulSet", "vmsingle-db", cr)
    source = FileFacts([cr, owner], 30)

    def removed(name):
        volume = {"name": name, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
        decision = _decide(_body(pod(owner, {"volumes": [volume]})), source, settings)
        return [operation.path for operation in decision.patch if operation.op == "remove"]

    assert removed("kube-api-access-abcde") == ["/spec/volumes/0"]
    assert removed("kube-api-access-users") == []
    assert removed("kube-api-access-fghij") == ["/spec/volumes/0"]


def test_a_suffix_that_stands_elsewhere_too_is_told_as_it_stands():
    settings = Settings()
    thing, objects = vmsingle({"disableAutomountServiceAccountToken": True})
    source = FileFacts(objects, 30)
    for name in ("kube-api-access-abcde", "kube-api-access-fghij"):
        volume = {"name": name, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
        container = {"name": name, "securityContext": {"runAsUser": 0}}
        spec = {"volumes": [volume], "containers": [{"name": "vmsingle"}, container]}
        decision = _decide(_body({**thing, "spec": {**thing["spec"], **spec}}), source, settings)
        assert any(name in warning for warning in decision.warnings)


def test_a_resource_that_changed_is_heeded_at_once():
    settings = Settings()
    thing, objects = vmsingle()
    assert _decide(_body(thing), FileFacts(objects, 30), settings).outcome == "patched"
    thing, objects = vmsingle({"useStrictSecurity": False})
    assert _decide(_body(thing), FileFacts(objects, 30), settings).outcome == "unchanged"


def _body(thing):
    return review_of(thing, uid="u", namespace="mon", name="db-0")
