"""A decision on the projection of a resource is the decision on the whole of it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.golden import CASES
from tests.unit.policy.test_properties import ANYTHING
from webhook.facts import Ref
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.custom_resources import GROUP
from webhook.policy.parents import layers_of_child
from webhook.policy.posture import posture_of
from webhook.policy.preview import PodsOfResource
from webhook.policy.projection import project
from webhook.policy.workload import Workload, account_of, user_volumes
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
        assert account_of(spec) == account_of(less)
    ref = Ref(GROUP, "v1", kind, "mon", "x")
    if kind not in PARENTS:  # which are judged whole, when somebody applies them
        whole, part = (PodsOfResource(ref, each).postures(mine) for each in (spec, less))
        assert whole == part
    for child in PARENTS.get(kind, {}):
        for name in ("x-a", "x", "b"):
            strict = [
                [(place, said.get("useStrictSecurity")) for place, said in layers_of_child(ref, each, child, name)]
                for each in (spec, less)
            ]
            assert strict[0] == strict[1]


@given(st.sampled_from([*BY_KIND, *PARENTS]), SPECS)
@settings(max_examples=200, deadline=None)
def test_postures_and_volumes_are_those_of_the_whole(kind, spec):
    _same(kind, spec)


def test_that_holds_for_every_recorded_resource_and_it_is_small():
    resources = [each for case in CASES for each in case.objects if each["apiVersion"].startswith(GROUP)]
    assert len(resources) > 100
    for each in resources:
        _same(each["kind"], each.get("spec") or {})
    assert sum(len(str(project(r["kind"], r.get("spec")))) for r in resources) * 2 < sum(len(str(r)) for r in resources)
