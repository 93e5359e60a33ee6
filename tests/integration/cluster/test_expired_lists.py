"""A list whose next page has expired (HTTP 410) is started again, and no object is lost or counted twice.

Kubernetes 1.24 reads the pages from etcd, which a test can compact. Newer versions may read them from a cache.
"""

import asyncio
import json
from itertools import count

import pytest

from tests.controlplane.stand_in_operator import recreate
from tests.support.admission_pods import VMSINGLE, bare_pod, scale
from tests.support.audit_scans import AuditScans, stateful_pod
from tests.support.patience import PATIENCE
from tests.support.reflectors import SINGLES, follow, names_in
from tests.support.resource_manifests import custom_resource
from webhook.cluster import listing
from webhook.cluster.client import Client
from webhook.cluster.listing import ExpiredError
from webhook.cluster.reflector import Reflector
from webhook.leader import audit_scan as module
from webhook.policy.custom_resources import GROUP

_COUNT = count(1)


@pytest.fixture
def namespace(plane_124):
    name = plane_124.namespace(f"expired-{next(_COUNT)}")
    yield name
    plane_124.api.delete("v1", "Namespace", name)


@pytest.fixture
def forgetting(plane_124, monkeypatch):
    """`forgetting(plural, *changes)` makes etcd drop the version of a list before the request for its next page.

    Each change is made before one further page of that collection, and returns an object as it is then; etcd forgets
    everything before that. None lets that page come. The answers to these requests, status and body, are returned.
    """
    get = Client.get

    def forget(plural, *changes):
        left, answers = list(changes), []

        async def forgetful(client, path, *how):
            if not (left and f"/{plural}?" in path and "&continue=" in path):
                return await get(client, path, *how)
            if change := left.pop(0):
                changed = await asyncio.to_thread(change)
                await asyncio.to_thread(plane_124.compact, changed["metadata"]["resourceVersion"])
            status, body = await get(client, path, *how)
            answers.append((status, json.loads(body)))
            return status, body

        monkeypatch.setattr(Client, "get", forgetful)
        return answers

    return forget


def test_a_reflector_serves_what_it_had_until_a_list_is_whole(plane_124, namespace, forgetting, monkeypatch):
    """An object of the first page is deleted and another made before the rest is gone, in the first list and later.

    The API server still offers to continue from there. Then one object would stay for ever, and another would be
    missing.
    """
    monkeypatch.setattr(listing, "PAGE", 7)
    for index in range(12):
        plane_124.api.create(custom_resource(f"s{index:02}"), namespace)
    steady = {f"s{index:02}" for index in range(2, 12)}

    def replace(old, new):
        plane_124.api.delete(f"{GROUP}/v1beta1", "VMSingle", old, namespace)
        return plane_124.api.create(custom_resource(new), namespace)

    answers = forgetting("vmsingles", lambda: replace("s00", "a00"), None, lambda: replace("s01", "a01"), None)
    expired, told = [], []

    class Old(Reflector):
        """One whose first list leads to a version that is too old to be watched."""

        async def _list_all(self):
            try:
                version = await super()._list_all()
            except ExpiredError:
                expired.append(names_in(self))
                raise
            return "1" if self.lists == 1 else version

    def well(reflector):
        assert names_in(reflector) >= steady or not reflector.synced.is_set()
        return reflector.lists == 2 and not reflector.trouble

    reflector = follow(
        plane_124.kubeconfig(),
        SINGLES,
        namespace,
        (None, well),
        (lambda: plane_124.api.create(custom_resource("late"), namespace), lambda r: "late" in names_in(r)),
        changed=lambda key, found: told.append((key[1], found is not None)),
        of=Old,
    )
    assert names_in(reflector) == {"a00", "a01", "late", *steady}
    assert [status for status, _ in answers] == [410, 200, 410, 200]
    assert answers[0][1]["metadata"]["continue"], "what the API server offers"
    assert expired == [set(), {"a00", "s01", *steady}]
    assert [name for name, there in told if not there] == ["s01"]


def five_pods(plane, namespace):
    """The running pods of one resource; none is as it must be."""
    made = recreate(VMSINGLE, plane.api, namespace)
    made.pod()
    scale(plane, namespace, made.one("Deployment")["metadata"]["name"], 5)


def test_a_survey_goes_on_and_judges_each_pod_once(plane_124, namespace, forgetting, monkeypatch):
    """A pod that is made meanwhile and comes before those that were judged is judged too."""
    monkeypatch.setattr(listing, "PAGE", 2)
    five_pods(plane_124, namespace)
    answers = forgetting("pods", lambda: stateful_pod(plane_124, namespace, {"managed-by": "vm-operator"}))
    (result,) = AuditScans(plane_124.kubeconfig(), namespace).results()
    assert [status for status, _ in answers] == [410]
    assert result.judged == result.noncompliant == {(namespace, "VMSingle"): 6}
    assert sorted(each.pods for each in result.wrong.values()) == [1, 5]
    assert not result.unknown


@pytest.mark.parametrize(("page", "times"), [("PAGE", 2), ("METADATA_PAGE", 1)])
def test_a_survey_that_gets_no_further_says_so_and_the_next_counts_right(
    plane_124, namespace, forgetting, monkeypatch, page, times
):
    """The survey lists whole pods again while that brings new ones; it does not list metadata again."""
    monkeypatch.setattr(listing, page, 2)
    monkeypatch.setattr(module, "TRY_AGAIN", 0.1)
    five_pods(plane_124, namespace)
    stateful_pod(plane_124, namespace, {})
    index = count()

    def nobodys():
        pod = bare_pod(f"nobodys-{next(index)}")
        pod["metadata"]["labels"] = {}
        return plane_124.api.create(pod, namespace)

    for _ in range(2):
        nobodys()
    answers = forgetting("pods", *[nobodys] * times)
    scans = AuditScans(plane_124.kubeconfig(), namespace)
    line = asyncio.run(first_told(scans))
    assert [status for status, _ in answers] == [410] * times
    assert len(scans.lines("survey failed")) == 1
    assert (line["pods"], line["noncompliant"]) == (6, 6)
    assert "unknown" not in line


async def first_told(scans):
    """The line on the first survey of a leader's that has a result."""
    async with scans.taking() as survey:
        task = asyncio.create_task(survey.run())
        async with asyncio.timeout(PATIENCE):
            while not scans.lines():
                assert not task.done(), task.result()
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
    return scans.lines()[0]
