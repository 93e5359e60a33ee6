"""pod-security: a warning gives the Pod Security level of the pods of a resource and the first reasons."""

import pytest

from tests.support.preview_warnings import PASSES_RESTRICTED, warnings_on
from tests.support.sample_pods import decide, resource

RESTRICTED = {
    **PASSES_RESTRICTED,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def test_the_collector_reads_its_nodes_files_which_no_level_but_privileged_allows():
    (warning,) = warnings_on("VLAgent", {"k8sCollector": {"enabled": True}})
    assert warning.startswith(
        'vlagent: Pod Security level privileged; not restricted: restricted volume types (volumes "'
    )


def test_a_collector_reads_its_nodes_files_wherever_its_own_data_are():
    (level,) = warnings_on("VLAgent", {"k8sCollector": {"enabled": True}, "tmpDataPath": "/x"}, "pod-security")
    assert level.startswith(
        'vlagent: Pod Security level privileged; not restricted: restricted volume types (volumes "'
    )


def test_a_level_below_restricted_is_a_warning_with_the_first_reasons():
    (warning,) = warnings_on("VMSingle", {"securityContext": {}}, "pod-security")
    assert warning.startswith(
        "vmsingle: Pod Security level baseline; not restricted: allowPrivilegeEscalation != false ("
    )
    assert warning.endswith("); and 3 more [pod-security]")
    (warning,) = warnings_on("VMSingle", {"securityContext": {"privileged": True}}, "pod-security")
    assert warning.startswith("vmsingle: Pod Security level privileged; not restricted: privileged (")


@pytest.mark.parametrize(
    ("spec", "before", "after"),
    [
        ({}, "baseline", "restricted"),
        ({"useStrictSecurity": True}, "restricted", "restricted"),
        ({"securityContext": {"privileged": True}}, "privileged", "privileged"),
        ({"securityContext": RESTRICTED}, "restricted", "restricted"),
        ({"securityContext": {}}, "baseline", "baseline"),
        ({"useStrictSecurity": False}, "baseline", "baseline"),
        ({"useStrictSecurity": True, "containers": [{"name": "vmsingle", "securityContext": {"runAsNonRoot": False}}]},)
        + ("baseline",) * 2,
    ],
)
def test_the_level_before_is_that_of_the_pod_without_vmguard(spec, before, after):
    (levels,) = decide(resource("VMSingle", spec=spec), [], webhook="validate", minor=37).predicted_levels
    assert (str(levels.before.level), str(levels.after.level)) == (before, after)


@pytest.mark.parametrize("probe", ["livenessProbe", "readinessProbe", "startupProbe"])
@pytest.mark.parametrize(("kind", "path"), [("VMSingle", ()), ("VMCluster", ("vmselect",)), ("VLAgent", ())])
def test_a_probe_of_the_resource_counts_in_the_level_of_its_pods(kind, path, probe):
    spec = {probe: {"httpGet": {"host": "192.0.2.1", "path": "/", "port": 80}}}
    for field in path:
        spec = {field: spec}
    (warning,) = warnings_on(kind, spec, "pod-security")
    assert "Pod Security level privileged; not restricted: probe or lifecycle host" in warning
