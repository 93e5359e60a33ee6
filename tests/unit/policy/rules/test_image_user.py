"""image-user: runAsNonRoot without a user is a warning where the image runs as root."""

import pytest

from tests.support.preview_warnings import warnings_on

NON_ROOT = {"securityContext": {"runAsNonRoot": True}}


def test_an_image_that_runs_as_root_will_not_be_started():
    assert warnings_on("VMSingle", NON_ROOT, "image-user") == [
        "vmsingle: container 'vmsingle' has runAsNonRoot: true and no runAsUser, and its image runs as root: the"
        " kubelet will not start it. Add runAsUser: 65534 and fsGroup: 65534 [image-user]"
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "containers"),
    [
        ("VMAgent", NON_ROOT, ["container 'vmagent' has"]),
        ("VMSingle", {**NON_ROOT, "vmBackup": {"acceptEULA": True}}, ["containers 'vmsingle', 'vmbackuper' have"]),
        ("VMCluster", {"vmselect": NON_ROOT, "vmstorage": {}}, ["container 'vmselect' has"]),
        ("VMAnomaly", NON_ROOT, []),
        ("VMSingle", {}, []),
        ("VMSingle", {"securityContext": {}}, []),
        ("VMSingle", {"securityContext": {"runAsNonRoot": True, "runAsUser": 5}}, []),
        (
            "VMSingle",
            {"useStrictSecurity": False, "containers": [{"name": "vmsingle", **NON_ROOT}]},
            ["container 'vmsingle' has"],
        ),
        ("VMSingle", {"useStrictSecurity": False, "containers": [{"name": "side", **NON_ROOT}]}, []),
        ("VMSingle", {**NON_ROOT, "image": {"repository": "example.org/own"}}, []),
        ("VMSingle", {**NON_ROOT, "containers": [{"name": "vmsingle", "image": "own:1"}]}, []),
        ("VMSingle", {**NON_ROOT, "image": {"repository": "r:5000/victoriametrics/vm"}}, ["container 'vmsingle' has"]),
    ],
    ids=str,
)
def test_it_counts_for_the_operators_containers_of_known_images(kind, spec, containers):
    warnings = warnings_on(kind, spec, "image-user")
    assert len(warnings) == len(containers)
    for warning, container in zip(warnings, containers, strict=True):
        assert container in warning


def test_a_user_that_an_image_names_cannot_be_checked():
    (warning,) = warnings_on("VMAlertmanager", NON_ROOT, "image-user")
    assert "its image runs as the user nobody, which the kubelet cannot check" in warning


def test_a_log_collector_is_not_advised_to_be_another_user():
    (warning,) = warnings_on("VLAgent", {**NON_ROOT, "k8sCollector": {"enabled": True}}, "image-user")
    assert warning.endswith("will not start it. Remove runAsNonRoot [image-user]")


def test_a_platform_that_sets_the_user_needs_no_advice():
    assert warnings_on("VMSingle", NON_ROOT, "image-user", VMGUARD_RUN_AS="platform") == []
