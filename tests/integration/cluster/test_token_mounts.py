"""Every container mounts the right token, in pods that the real ServiceAccount plugin has changed before."""

import itertools

import pytest

from tests.support.sample_pods import LABELS, owned_by
from webhook.policy.token_volume import TOKEN_PATH, TOKEN_VOLUME, VOLUME

NAMES = {"exact": VOLUME, "prefix": f"{VOLUME}-mine", "other": "mine"}
CA = {"configMap": {"name": "kube-root-ca.crt"}}


def _projected(**token):
    return {"projected": {"sources": [{"serviceAccountToken": {"path": "token", **token}}, CA]}}


SOURCES = {
    "token": _projected(),
    "audience": _projected(audience="vault"),
    "path": _projected(path="jwt"),
    "no certificate": {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
    "emptyDir": {"emptyDir": {}},
    "secret": {"secret": {"secretName": "x"}},
}
MOUNTED_BY = {
    "nobody": (),
    "volumeMounts": ("main", TOKEN_PATH),
    "containers": ("side", TOKEN_PATH),
    "initContainers": ("first", TOKEN_PATH),
    "elsewhere": ("side", "/token"),
}
KINDS = {"VMAgent": "vmagent", "VMSingle": "vmsingle"}
IMAGE = "victoriametrics/none"


def _resource(kind, name, volume, mounted_by):
    """A resource with the volume, and the containers of its pods as the operator would make them."""
    main = KINDS[kind]
    mounts = {}
    if mounted_by:
        mounts[mounted_by[0]] = [{"name": volume["name"], "mountPath": mounted_by[1]}]
    side, first = ({"name": name, "image": IMAGE, "volumeMounts": mounts.get(name, [])} for name in ("side", "first"))
    spec = {
        "disableAutomountServiceAccountToken": True,
        "useStrictSecurity": False,
        "volumes": [volume],
        "volumeMounts": mounts.get("main", []),
        "containers": [side],
        "initContainers": [first],
    }
    meta = {"name": name}
    resource = {
        "apiVersion": "operator.victoriametrics.com/v1beta1",
        "kind": kind,
        "metadata": meta,
        "spec": spec,
    }
    containers = [{"name": main, "image": IMAGE, "volumeMounts": mounts.get("main", [])}, side]
    return resource, {"containers": containers, "initContainers": [first], "volumes": [volume]}


def _expected(kind, volume, source, mounted_by):
    """The volume at the token path of each container, None for none; "" for all of it if nothing may be changed."""
    main = KINDS[kind]
    names = {"main": main, "side": "side", "first": "first"}
    expected = dict.fromkeys(names.values())
    if kind == "VMAgent":
        expected[main] = VOLUME
        if volume == VOLUME and source != "token":
            return ""
    if mounted_by and mounted_by[1] == TOKEN_PATH:
        expected[names[mounted_by[0]]] = volume
    return expected


def _at_token_path(container):
    mounted = [mount["name"] for mount in container.get("volumeMounts", []) if mount["mountPath"] == TOKEN_PATH]
    assert len(mounted) <= 1, "the API server refuses two mounts at one path"
    return mounted[0] if mounted else None


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_where_the_resource_or_the_need_puts_it_and_nowhere_else(plane, guard, kind):
    """The oracle is written from the rules; the API server makes the mounts, and stores what the test reads."""
    namespace = guard(VM_ENABLESTRICTSECURITY="false").namespace()
    cases = list(itertools.product(NAMES, SOURCES, MOUNTED_BY))
    assert len(cases) == 90
    for number, (name, source, by) in enumerate(cases):
        volume = {"name": NAMES[name], **SOURCES[source]}
        resource, spec = _resource(kind, f"x{number}", volume, MOUNTED_BY[by])
        owner = owned_by(plane.api.create(resource, namespace))
        meta = {"name": f"{KINDS[kind]}-x{number}", "labels": dict(LABELS), "ownerReferences": owner}
        template = {"metadata": {"labels": {"app": f"x{number}"}}, "spec": {"containers": spec["containers"]}}
        template["spec"]["volumes"] = spec["volumes"]
        stateful = {"serviceName": "x", "replicas": 0, "selector": {"matchLabels": {"app": f"x{number}"}}}
        made = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta}
        owner = owned_by(plane.api.create({**made, "spec": {**stateful, "template": template}}, namespace))
        meta = {"name": f"p{number}", "labels": dict(LABELS), "ownerReferences": owner}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        stored = plane.api.create(pod, namespace, dryRun="All")["spec"]
        case = (kind, name, source, by)
        containers = {each["name"]: _at_token_path(each) for each in (*stored["containers"], *stored["initContainers"])}
        volumes = {each["name"] for each in stored["volumes"]}
        expected = _expected(kind, volume["name"], source, MOUNTED_BY[by])
        assert volume["name"] in volumes, (case, "a volume of the user stays")
        if expected == "":
            assert stored.get("automountServiceAccountToken") is None, case
            continue
        assert containers == expected, case
        assert stored["automountServiceAccountToken"] is False, case
        assert volumes - {volume["name"]} <= {TOKEN_VOLUME["name"]}, (case, "the plugin's volume is gone")
        if by == "elsewhere":
            side = next(each for each in stored["containers"] if each["name"] == "side")
            assert {"name": volume["name"], "mountPath": "/token"} in side["volumeMounts"], case
