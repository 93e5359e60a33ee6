"""volume-ownership: data that the strict user may not be able to write are a warning."""

import pytest

from tests.support.preview_warnings import CLAIM, warnings_on
from tests.support.sample_pods import resource


@pytest.mark.parametrize(("source", "shown"), [({"hostPath": {"path": "/x"}}, "hostPath"), ({"nfs": {}}, "NFS")])
def test_a_writable_volume_that_ignores_fs_group_is_a_warning_for_users_other_than_root(source, shown):
    spec = {"volumes": [{"name": "v", **source}], "volumeMounts": [{"name": "v", "mountPath": "/x"}]}
    (warning,) = warnings_on("VMSingle", spec, "volume-ownership")
    assert warning.startswith(
        f"vmsingle: volume 'v' is {shown}, which ignores fsGroup: container 'vmsingle' is not root"
    )
    spec["volumeMounts"][0]["readOnly"] = True
    assert warnings_on("VMSingle", spec, "volume-ownership") == []
    del spec["volumeMounts"]
    assert warnings_on("VMSingle", spec, "volume-ownership") == []


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ({"useStrictSecurity": False}, {"useStrictSecurity": True}, 1),
        ({"useStrictSecurity": False}, {}, 1),
        ({"securityContext": {}}, {}, 1),
        ({}, {}, 0),
        ({"useStrictSecurity": True}, {"useStrictSecurity": False}, 0),
        ({"useStrictSecurity": False}, {"securityContext": {"runAsUser": 1}}, 0),
    ],
)
def test_strict_that_is_turned_on_over_data_of_another_user_is_a_warning(before, after, count):
    def update(spec):
        old = resource("VMSingle", spec={**spec, **before})
        return warnings_on(
            "VMSingle", {**spec, **after}, "volume-ownership", operation="UPDATE", review={"oldObject": old}
        )

    assert len(update(CLAIM)) == count
    assert update({}) == []
