"""A decision on the projection of a resource is the decision on the whole of it, and the projection is no larger."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.golden import CASES
from tests.support.sample_pods import Answers, decide, pod, resource, workload
from tests.support.sample_pods import settings as settings_of
from tests.support.strategies import ANYTHING
from webhook import admit
from webhook.facts import Found, Ref
from webhook.leader.psp_objects import Custom, wanted
from webhook.objects import KubeObject, Metadata, OwnerReference
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.conditions import EACH
from webhook.policy.custom_resources import GROUP
from webhook.policy.parents import children, layers_of_child
from webhook.policy.posture import posture_of
from webhook.policy.preview import PodsOfResource
from webhook.policy.projection import paths_of_kind, project
from webhook.policy.token_volume import TOKEN_PATH
from webhook.policy.workload import Workload, account_of, user_mounts, user_volumes
from webhook.settings import Settings

FIELDS = ("vmselect", "vmstorage", "requestsLoadBalancer", "zones", "zoneCommon", "vmauth", "vmagent", "extraArgs")
SPECS = st.dictionaries(
    st.sampled_from([*FIELDS, "securityContext", "useStrictSecurity", "volumes", "ingestOnlyMode"]), ANYTHING
)


def _same(kind, spec):
    mine = Settings()
    less = project(kind, spec)
    for component in BY_KIND.get(kind, ()):
        whole, part = (Workload(kind, "mon", "x", component, "", each) for each in (spec, less))
        assert posture_of(whole, mine) == posture_of(part, mine)
        assert user_volumes(whole) == user_volumes(part)
        assert user_mounts(whole) == user_mounts(part)
        assert account_of(spec) == account_of(less)
    ref = Ref(GROUP, "v1", kind, "mon", "x")
    if kind not in PARENTS:  # which are judged whole, when somebody applies them
        whole, part = (PodsOfResource(ref, each).postures(mine) for each in (spec, less))
        assert whole == part
    for child in PARENTS.get(kind, {}):
        for name in ("x-a", "x", "b"):
            strict = [
                [
                    (place, set_there.get("useStrictSecurity"))
                    for place, set_there in layers_of_child(ref, s, child, name)
                ]
                for s in (spec, less)
            ]
            assert strict[0] == strict[1]


@pytest.mark.slow
@given(st.sampled_from([*BY_KIND, *PARENTS]), SPECS)
@settings(max_examples=examples(200), deadline=None)
def test_postures_and_volumes_are_those_of_the_whole(kind, spec):
    _same(kind, spec)


def test_that_holds_for_every_recorded_resource_and_it_is_small():
    resources = [each for case in CASES for each in case.objects if each["apiVersion"].startswith(GROUP)]
    assert len(resources) > 100
    for each in resources:
        _same(each["kind"], each.get("spec") or {})
    assert sum(len(str(project(r["kind"], r.get("spec")))) for r in resources) * 2 < sum(len(str(r)) for r in resources)


class Recorded(dict):
    """A JSON object that records the path of every field that is read from it, present or not."""

    def __init__(self, value, reads, path=()):
        super().__init__(value)
        self._reads = reads
        self._path = path

    def get(self, field, default=None):
        path = (*self._path, field)
        self._reads.add(path)
        return self._wrapped(super().get(field, default), path)

    def __getitem__(self, field):
        path = (*self._path, field)
        self._reads.add(path)
        return self._wrapped(super().__getitem__(field), path)

    def _wrapped(self, value, path):
        if isinstance(value, dict):
            return Recorded(value, self._reads, path)
        if isinstance(value, list):
            return [self._wrapped(each, (*path, EACH)) for each in value]
        return value


def _fact(recorded, thing):
    """The resource as a cached fact that records what is read of its spec."""
    owners = [
        OwnerReference(each["apiVersion"], each["kind"], each["name"], each["uid"], each["controller"])
        for each in thing["metadata"].get("ownerReferences", [])
    ]
    metadata = Metadata(name=thing["metadata"]["name"], uid=thing["metadata"]["uid"], owner_references=owners)
    return Found(KubeObject(metadata, recorded), "cache")


_VALUES = {"enabled": True, "mountPath": TOKEN_PATH, "securityContext": {"runAsUser": 5}, "ingestOnlyMode": False}


def _specs(kind):
    """One spec with every declared field and others, and one with the objects around them alone."""
    full, bare = {}, {}
    for path in paths_of_kind(kind):
        *outer, last = path
        for spec in (full, bare):
            node = spec
            for index, field in enumerate(outer):
                inner = [{}] if (*outer, last)[index + 1] == EACH else {}
                node = node[0] if field == EACH else node.setdefault(field, inner)
        if last == "enabled" or path == ("zones", EACH, "name"):
            _at(bare, outer)[last] = _VALUES.get(last, "a")
        _at(full, outer)[last] = _VALUES.get(last, "x")
        _at(full, outer)["unread"] = {"any": 1}
    return full, bare


def _at(spec, path):
    for field in path:
        spec = spec[0] if field == EACH else spec[field]
    return spec


def _decide_pods(kind, spec, reads, **environment):
    """Decide on a pod of every component of a resource, and on the resource's default policies."""
    thing = resource(kind, "x", spec)
    for component in BY_KIND.get(kind, ()):
        fact = _fact(Recorded(spec, reads), thing)
        owner = workload("StatefulSet", f"{component.name}-x", thing)
        asked = pod(owner, {"containers": [{"name": component.main}], "volumes": [{"name": "x"}]})
        decision = decide(asked, source=Answers({kind: fact}, [owner]), webhook="mutate", **environment)
        assert decision.identity.component == component
    wanted([Custom(kind, "v1", "mon", "x", "uid", Recorded(spec, reads))], settings_of(**environment))


def _decide_children(kind, spec, reads):
    """Decide on a pod of every component of every child that a parent makes."""
    thing = resource(kind, "x", spec)
    for child in PARENTS[kind]:
        for component in BY_KIND[child]:
            name = next(name for name, _ in children(Ref(GROUP, "v1", kind, "mon", "x"), spec, child))
            made = resource(child, name, {field: {} for field in component.path[1:2]}, thing)
            owner = workload("StatefulSet", f"{component.name}-{name}", made)
            source = Answers({kind: _fact(Recorded(spec, reads), thing)}, [made, owner])
            decide(pod(owner, {"containers": [{"name": component.main}]}), source=source)


@pytest.mark.parametrize("kind", [*BY_KIND, *PARENTS])
def test_it_has_the_fields_that_decisions_read_and_no_others(kind, monkeypatch):
    """Every field that is read while pods are decided is declared by its reader, and every declared field is read."""
    monkeypatch.setattr(admit, "wrong_types", lambda kind, spec: ())  # which reads every field there is
    declared = set(paths_of_kind(kind))
    reads = set()
    for spec in _specs(kind):
        if kind in PARENTS:
            _decide_children(kind, spec, reads)
        else:
            _decide_pods(kind, spec, reads)
    assert declared <= reads
    around = {path[:length] for path in declared for length in range(len(path))}
    inside = {path for path in reads for length in range(1, len(path)) if path[:length] in declared}
    assert reads - declared - around - inside == set()
