"""misplaced-field: a field that decides, at a place where its kind has none, is a warning that names the place."""

import pytest

from tests.support.golden import CASES
from tests.support.preview_warnings import warnings_on
from tests.support.sample_pods import decide, resource
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.rules import check_resource
from webhook.policy.rules.subject import ResourceObject

CONTEXT = {"runAsUser": 1000}


def test_a_context_at_the_root_of_a_cluster_belongs_in_its_components():
    spec = {"securityContext": CONTEXT, "vmstorage": {"replicaCount": 1}, "vmselect": {"replicaCount": 1}}
    assert warnings_on("VMCluster", spec, "misplaced-field") == [
        "spec.securityContext is no field of VMCluster: the API server drops it, so it has no effect. Write"
        " spec.vmstorage.securityContext and spec.vmselect.securityContext [misplaced-field]"
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "places"),
    [
        ("VMCluster", {"containers": []}, [("spec.containers", "spec.vmstorage.containers and spec.vmselect.")]),
        ("VMCluster", {"useStrictSecurity": True}, []),
        ("VMCluster", {"usestrictsecurity": True}, [("spec.usestrictsecurity", "spec.useStrictSecurity")]),
        ("VMCluster", {"vmStorage": {"x": 1}}, [("spec.vmStorage", "spec.vmstorage")]),
        (
            "VMCluster",
            {"requestsLoadBalancer": {"enabled": True, "securityContext": CONTEXT}},
            [("spec.requestsLoadBalancer.securityContext", "spec.requestsLoadBalancer.spec.securityContext")],
        ),
        (
            "VMCluster",
            {"vmselect": {"podMetadata": {"securityContext": CONTEXT}}},
            [("spec.vmselect.podMetadata.securityContext", "spec.vmselect.securityContext")],
        ),
        ("VLCluster", {"volumes": [], "vlinsert": {"a": 1}}, [("spec.volumes", "spec.vlinsert.volumes")]),
        (
            "VLDistributed",
            {"zones": [{"name": "a", "vlagent": {"spec": {"k8sCollector": {"enabled": True}}}}]},
            [("spec.zones[a].vlagent.spec.k8sCollector", "To use it, create a separate VLAgent")],
        ),
        (
            "VMDistributed",
            {"zoneCommon": {"vmagent": {"spec": {"daemonSetMode": True, "ingestOnlyMode": True}}}},
            [("spec.zoneCommon.vmagent.spec.daemonSetMode", "To use it, create a separate VMAgent")],
        ),
        ("VMSingle", {"securitycontext": CONTEXT}, [("spec.securitycontext", "spec.securityContext")]),
        ("VMSingle", {"securityContex": CONTEXT}, [("spec.securityContex", "spec.securityContext")]),
        ("VMSingle", {"podSecurityContext": CONTEXT}, [("spec.podSecurityContext", "spec.securityContext")]),
        ("VMSingle", {"InitContainers": []}, [("spec.InitContainers", "spec.initContainers")]),
        (
            "VMSingle",
            {"automountServiceAccountToken": False},
            [("spec.automountServiceAccountToken", "spec.disableAutomountServiceAccountToken: true")],
        ),
        ("VMSingle", {"podAnnotations": {}}, [("spec.podAnnotations", "spec.podMetadata.annotations")]),
        (
            "VMSingle",
            {"securityContext": {"container": {"privileged": True}}},
            [("spec.securityContext.container", "its fields in spec.securityContext itself")],
        ),
        (
            "VMSingle",
            {"runAsUser": 5, "readonlyRootFilesystem": True},
            [
                ("spec.runAsUser", "spec.securityContext.runAsUser"),
                ("spec.readonlyRootFilesystem", "spec.securityContext.readOnlyRootFilesystem"),
            ],
        ),
        (
            "VMCluster",
            {"fsGroup": 5, "vmselect": {"a": 1}},
            [("spec.fsGroup", "spec.vmselect.securityContext.fsGroup")],
        ),
        (
            "VMSingle",
            {"securityContext": {"useStrictSecurity": True, "securityContext": {}, "runAsUsr": 5}},
            [
                ("spec.securityContext.securityContext", "its fields in spec.securityContext itself"),
                ("spec.securityContext.runAsUsr", "spec.securityContext.runAsUser"),
                ("spec.securityContext.useStrictSecurity", "spec.useStrictSecurity"),
            ],
        ),
        (
            "VLSingle",
            {"containers": [{"name": "s", "image": "i", "runAsUser": 5, "securityContext": {"fsGroup": 5}}]},
            [
                ("spec.containers[s].securityContext.fsGroup", "spec.securityContext.fsGroup"),
                ("spec.containers[s].runAsUser", "spec.containers[s].securityContext.runAsUser"),
            ],
        ),
        (
            "VLCluster",
            {"vlstorage": {"initContainers": [{"name": "s", "image": "i", "securitycontext": CONTEXT}]}},
            [("spec.vlstorage.initContainers[s].securitycontext", "spec.vlstorage.initContainers[s].securityContext")],
        ),
        ("VMSingle", {"vmBackup": {"runAsUser": 5}}, [("spec.vmBackup.runAsUser", "spec.containers[vmbackuper].")]),
        ("VMSingle", {"extraVolumes": []}, [("spec.extraVolumes", "spec.volumes")]),
        ("VMSingle", {"sidecars": []}, [("spec.sidecars", "spec.containers")]),
        ("VMSingle", {"useStrict": True}, [("spec.useStrict", "spec.useStrictSecurity")]),
        ("VLAgent", {"useStrictSecurityContext": True}, [("spec.useStrictSecurityContext", "spec.useStrictSecurity")]),
        (
            "VMSingle",
            {"podSecurityPolicyname": "a"},
            [("spec.podSecurityPolicyname", "spec.podSecurityPolicyName")],
        ),
        ("VTCluster", {"vtstorage": {"a": 1}}, [("spec.vtstorage", "spec.storage")]),
        ("VLCluster", {"storage": {"a": 1}}, [("spec.storage", "spec.vlstorage")]),
        ("VMCluster", {"vlselects": {"a": 1}}, [("spec.vlselects", "spec.vmselect")]),
        (
            "VMDistributed",
            {"zone": [], "vmagent": {}, "zoneCommon": {"vlcluster": {}}, "zones": [{"name": "a", "vmstorage": {}}]},
            [
                ("spec.zone", "spec.zones"),
                ("spec.vmagent", "spec.zoneCommon.vmagent"),
                ("spec.zoneCommon.vlcluster", "spec.zoneCommon.vmcluster"),
                ("spec.zones[a].vmstorage", "spec.zones[a].vmcluster.spec.vmstorage"),
            ],
        ),
        (
            "VMDistributed",
            {"zoneCommon": {"vmcluster": {"vmselect": {"a": 1}}}},
            [("spec.zoneCommon.vmcluster.vmselect", "spec.zoneCommon.vmcluster.spec.vmselect")],
        ),
        (
            "VMSingle",
            {"securityContext": {"runAsuser": 5}},
            [("spec.securityContext.runAsuser", "spec.securityContext.runAsUser")],
        ),
        (
            "VMSingle",
            {"containers": [{"name": "side", "image": "i", "securityContext": {"runasuser": 5}}]},
            [
                (
                    "spec.containers[side].securityContext.runasuser",
                    "spec.containers[side].securityContext.runAsUser",
                )
            ],
        ),
        (
            "VMSingle",
            {"template": {"spec": {"hostNetwork": True}}},
            [("spec.template.spec.hostNetwork", "spec.hostNetwork")],
        ),
        (
            "VMSingle",
            {"vmBackup": {"securityContext": CONTEXT, "volumeMounts": []}},
            [("spec.vmBackup.securityContext", "spec.containers[vmbackuper].securityContext")],
        ),
        (
            "VMDistributed",
            {"useStrictSecurity": True},
            [("spec.useStrictSecurity", "spec.zoneCommon.vmagent.spec.useStrictSecurity, or in another child")],
        ),
        (
            "VMDistributed",
            {"zones": [{"name": "a", "vmagent": {"useStrictSecurity": True}}]},
            [("spec.zones[a].vmagent.useStrictSecurity", "spec.zones[a].vmagent.spec.useStrictSecurity")],
        ),
        (
            "VMDistributed",
            {"zones": [{"name": "a", "vmcluster": {"spec": {"vmselect": {"a": 1}, "containers": []}}}]},
            [("spec.zones[a].vmcluster.spec.containers", "spec.zones[a].vmcluster.spec.vmselect.containers")],
        ),
        (
            "VMDistributed",
            {"vmauth": {"securityContext": CONTEXT}},
            [("spec.vmauth.securityContext", "spec.vmauth.spec.securityContext")],
        ),
        ("VMEstimator", {"securityContext": CONTEXT}, []),
        ("VMSingle", {"securityContext": None, "hostAliases": [], "secrets": [], "configMaps": []}, []),
    ],
    ids=str,
)
def test_each_wrong_place_and_name_has_its_right_one(kind, spec, places):
    found = check_resource(ResourceObject(kind, {"spec": spec}))
    assert len(found) == len(places)
    for warning, (place, right) in zip(found, places, strict=True):
        case = place.lower() == right.lower() and not warning.text.startswith(f"{place} is no field of {kind}: ")
        assert warning.text.startswith(f"{place} {'has the wrong case' if case else f'is no field of {kind}'}: ")
        assert f". {'' if right.startswith('To ') else 'Write '}{right}" in warning.text


@pytest.mark.parametrize("beside", ["top", "metadata"])
def test_a_field_beside_the_spec_belongs_in_it(beside):
    thing = resource("VMSingle")
    (thing if beside == "top" else thing["metadata"])["securityContext"] = CONTEXT
    decision = decide(thing, [], webhook="validate", minor=37)
    place = "" if beside == "top" else "metadata."
    assert decision.warnings == (
        f"{place}securityContext is no field of VMSingle: the API server drops it, so it has no effect. Write"
        " spec.securityContext [misplaced-field]",
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path.name)
def test_no_recorded_resource_has_a_field_in_the_wrong_place(case):
    for thing in case.objects:
        if thing["kind"] in BY_KIND or thing["kind"] in PARENTS:
            assert check_resource(ResourceObject(thing["kind"], thing)) == []


def test_only_so_many_fields_are_named():
    spec = {
        field: [] for field in ("containers", "initContainers", "volumes", "volumeMounts", "extraArgs", "podMetadata")
    }
    assert len(check_resource(ResourceObject("VMCluster", {"spec": spec}))) == 5


@pytest.mark.parametrize(
    ("kind", "spec", "place", "right"),
    [
        ("VMAlertmanager", {"containers": [{"name": "vmalertmanager"}]}, "spec.containers", "alertmanager"),
        ("VLSingle", {"containers": [{"name": "vmsingle"}]}, "spec.containers", "vlsingle"),
        ("VMAuth", {"initContainers": [{"name": "config-int"}]}, "spec.initContainers", "config-init"),
        ("VMSingle", {"containers": [{"name": "victoria-metrics"}]}, "spec.containers", "vmsingle"),
        (
            "VMDistributed",
            {
                "zones": [
                    {
                        "name": "a",
                        "vmagent": {"spec": {"containers": [{"name": "agent"}, {"name": "side", "image": "i"}]}},
                    }
                ]
            },
            "spec.zones[a].vmagent.spec.containers",
            "vmagent",
        ),
    ],
)
def test_a_container_without_an_image_must_patch_one_of_the_operators(kind, spec, place, right):
    *_, elements = _lists(spec)
    (warning,) = warnings_on(kind, spec, "misplaced-field")
    assert warning == (
        f"{place}[{elements[0]['name']}] has no image and is no container of the operator: the API server refuses such"
        f" a pod. Rename it to {right}, or set an image [misplaced-field]"
    )
    elements[0]["image"] = "i"
    assert warnings_on(kind, spec, "misplaced-field") == []
    elements[0] = {"name": right}
    assert warnings_on(kind, spec, "misplaced-field") == []


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ({"initContainers": [{"name": "vmagent"}]}, "Set an image"),
        ({"initContainers": [{"name": "vmagnet"}]}, "Set an image"),
        ({"containers": [{"name": "config-init"}]}, "Rename it to vmagent, or set an image"),
        ({"containers": [{"env": []}]}, "Rename it to vmagent, or set an image"),
        ({"initContainers": [{"name": "config-init"}], "containers": [{"name": "config-reloader"}]}, ""),
    ],
    ids=str,
)
def test_a_patch_of_a_container_stands_in_the_list_of_that_container(spec, remedy):
    found = warnings_on("VMAgent", spec, "misplaced-field")
    assert [each.partition("such a pod. ")[2] for each in found] == ([f"{remedy} [misplaced-field]"] if remedy else [])


def test_a_patch_of_a_container_that_the_operator_does_not_make_needs_its_settings():
    patch = {"containers": [{"name": "vmbackuper", "securityContext": {"runAsUser": 1000}}]}
    (warning,) = warnings_on("VMCluster", {"vmstorage": patch}, "misplaced-field")
    assert warning == (
        "spec.vmstorage.containers[vmbackuper] has no image and is no container of the operator: the API server refuses"
        " such a pod. Write spec.vmstorage.vmBackup, or remove the element [misplaced-field]"
    )
    with_backup = {**patch, "vmBackup": {"acceptEULA": True, "destination": "s3://x"}}
    assert warnings_on("VMCluster", {"vmstorage": with_backup}, "misplaced-field") == []


@pytest.mark.parametrize(
    ("kind", "spec", "right"),
    [
        ("VMCluster", {"vmBackup": {"destination": "s3://x"}, "vmstorage": {}}, "spec.vmstorage.vmBackup"),
        ("VLCluster", {"storageDataPath": "/x", "vlstorage": {}}, "spec.vlstorage.storageDataPath"),
        ("VMCluster", {"cacheMountPath": "/x", "vmselect": {}}, "spec.vmselect.cacheMountPath"),
    ],
    ids=str,
)
def test_a_field_of_one_component_belongs_in_it(kind, spec, right):
    (warning,) = warnings_on(kind, spec, "misplaced-field")
    assert warning.endswith(f"so it has no effect. Write {right} [misplaced-field]")


def test_an_init_container_without_an_image_needs_one():
    (warning,) = warnings_on("VMSingle", {"initContainers": [{"name": "first"}]}, "misplaced-field")
    assert warning.endswith("the API server refuses such a pod. Set an image [misplaced-field]")


@pytest.mark.parametrize(
    ("kind", "spec", "place", "right"),
    [
        ("VMSingle", {"spec": {"securityContext": CONTEXT}}, "spec.spec", "spec"),
        ("VMAlert", {"serviceAccount": {"automountServiceAccountToken": False}}, "spec.serviceAccount", "spec"),
        ("VLAgent", {"k8sCollector": {"securityContext": CONTEXT}}, "spec.k8sCollector", "spec"),
        ("VMCluster", {"vminsert": {"spec": {"securityContext": CONTEXT}}}, "spec.vminsert.spec", "spec.vminsert"),
        (
            "VMCluster",
            {"vmauth": {"spec": {"securityContext": CONTEXT}}, "vmselect": {}},
            "spec.vmauth.spec",
            "spec.vmselect",
        ),
        (
            "VLDistributed",
            {"zones": [{"name": "a", "spec": {"useStrictSecurity": True}}]},
            "spec.zones[a].spec",
            "spec.zones[a].vlagent.spec",
        ),
        (
            "VMDistributed",
            {"zoneCommon": {"vmsingle": {"spec": {"server": {"securityContext": CONTEXT}}}}},
            "spec.zoneCommon.vmsingle.spec.server",
            "spec.zoneCommon.vmsingle.spec",
        ),
        ("VMAlert", {"serviceAccount": {"automountServiceAccountToken": True}}, "", ""),
        ("VMCluster", {"requestsLoadBalancer": {"spec": {"securityContext": CONTEXT}}}, "", ""),
        ("VMDistributed", {"vmauth": {"spec": {"securityContext": CONTEXT}}}, "", ""),
        ("VMAgent", {"podMetadata": {"annotations": {"securityContext": "x"}}}, "", ""),
        ("VMAgent", {"nodeSelector": {"strict-security": "true"}}, "", ""),
        ("VMAgent", {"externalLabels": {"securityContext": "x"}}, "", ""),
    ],
    ids=str,
)
def test_a_field_that_decides_belongs_in_no_other_object(kind, spec, place, right):
    """Values of Helm charts have such objects."""
    found = [each.about for each in check_resource(ResourceObject(kind, {"spec": spec}))]
    shown = [(wrong.rpartition(".")[0], to.partition(": ")[0].rpartition(".")[0]) for wrong, to in found]
    assert shown == ([(place, right)] if place else [])


OPTS_OUT = "A securityContext without a known field opts out of strict security. Remove spec.securityContext.enabled"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"securityContext": {"enabled": True}}, [f"spec.securityContext.enabled: {OPTS_OUT}"]),
        ({"securityContext": {"enabled": True, "runAsUser": 5}}, ["spec.securityContext.enabled: Remove it"]),
        (
            {"containers": [{"name": "vmsingle", "securityContext": {"enabled": True}}]},
            ["spec.containers[vmsingle].securityContext.enabled: Remove it"],
        ),
        ({"securityContext": {"runAsUser": 5, "sysctls": [], "windowsOptions": {}, "procMount": "Default"}}, []),
        ({"securityContext": {"enabled": None}}, []),
    ],
    ids=str,
)
def test_an_unknown_field_of_a_context_is_named_and_what_it_does(spec, said):
    ignored = " is no field of VMSingle: the operator ignores it, or refuses the resource. "
    found = [each.text for each in check_resource(ResourceObject("VMSingle", {"spec": spec}))]
    assert found == [each.replace(": ", ignored, 1) for each in said]


@pytest.mark.parametrize(
    ("kind", "spec", "what"),
    [
        ("VMSingle", {"securitycontext": CONTEXT}, "no effect"),
        ("VMSingle", {"securityContext": {"RunAsUser": 0}}, "reads it as runAsUser"),
        ("VMSingle", {"containers": [{"name": "vmsingle", "SecurityContext": {}}]}, "reads it as securityContext"),
        ("VMSingle", {"securityContext": {"capabilites": {}}}, "ignores it"),
        ("VMAuth", {"securitycontext": CONTEXT}, "reads it as securityContext"),
        ("VMAuth", {"podSecurityContext": CONTEXT}, "ignores it"),
        ("VMAuth", {"ingress": {"securityContext": CONTEXT}}, "no effect"),
        ("VLogs", {"server": {"securityContext": CONTEXT}}, "ignores it"),
        ("VMCluster", {"requestsLoadBalancer": {"spec": {"securitycontext": {}}}}, "reads it as securityContext"),
        ("VMDistributed", {"vmauth": {"spec": {"securitycontext": CONTEXT}}}, "reads it as securityContext"),
        ("VMDistributed", {"vmauth": {"spec": {"securityContext": {"runAsuser": 0}}}}, "no effect"),
        ("VMDistributed", {"vmauth": {"spec": {"ingress": {"securityContext": CONTEXT}}}}, "no effect"),
        ("VLCluster", {"storage": {"securityContext": CONTEXT}}, "Write spec.vlstorage"),
        ("VMDistributed", {"vmcluster": {"spec": {"useStrictSecurity": True}}}, "Write spec.zoneCommon.vmcluster"),
        ("VMDistributed", {"zones": [{"name": "z", "vmselect": {"securityContext": {}}}]}, "vmcluster.spec.vmselect"),
        ("VMDistributed", {"zoneCommon": {"vmcluster": {"spec": {"vmStorage": {"a": 1}}}}}, "reads it as vmstorage"),
        ("VMDistributed", {"zoneCommon": {"vmagent": {"spec": {"SecurityContext": CONTEXT}}}}, "no effect"),
        ("VMDistributed", {"zoneCommon": {"vmagent": {"spec": {"securityContext": {"RunAsUser": 0}}}}}, "no effect"),
    ],
    ids=str,
)
def test_what_a_wrong_field_does_depends_on_the_schema_of_its_place(kind, spec, what):
    """Without one the API server keeps the field, and Go reads it in any case."""
    (warning,) = warnings_on(kind, spec, "misplaced-field")
    assert what in warning


def _lists(value):
    """The lists in an object, the innermost last."""
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, list):
            yield each
        if isinstance(each, dict | list):
            yield from _lists(each)


@pytest.mark.parametrize("field", ["Spec", "specs"])
def test_a_spec_with_another_name_is_a_warning(field):
    (warning,) = check_resource(ResourceObject("VMSingle", {field: {"securityContext": {}}}))
    assert warning.text == f"{field} is no field of VMSingle: the API server drops it, so it has no effect. Write spec"


def test_an_object_with_very_many_fields_is_looked_at_in_part():
    """A part without a schema keeps unknown fields, and all other requests wait for this check."""
    many = {f"unknown{number}": 1 for number in range(100_000)}
    assert check_resource(ResourceObject("VMSingle", {"spec": {**many, "runAsUser": 5}})) == []
    (warning,) = check_resource(ResourceObject("VMSingle", {"spec": {"runAsUser": 5, **many}}))
    assert warning.text.startswith("spec.runAsUser is no field of VMSingle")
