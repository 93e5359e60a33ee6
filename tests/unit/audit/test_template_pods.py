"""Where no pod runs, the next one is predicted from the pod template of its controller, else from the resource."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.support.audited_pods import audited, pods_of
from tests.support.sample_pods import resource
from webhook.audit.audits import audit_saved, report_of
from webhook.audit.collect import AuditScope
from webhook.audit.html_report import as_html
from webhook.audit.saved import SavedObjects
from webhook.audit.text_report import as_table
from webhook.audit.trimmed import trimmed
from webhook.settings import Settings

SPECS: dict[str, dict[str, Any]] = {
    "VMSingle": {},
    "VMAgent": {"daemonSetMode": True, "remoteWrite": [{"url": "x"}]},
    "VMAlertmanager": {},
    "VMCluster": {"vmstorage": {}, "vmselect": {}},
}


def templated(thing: dict[str, Any], **change: Any) -> list[dict[str, Any]]:
    """The controllers of a resource, each with the template of the pod that it would make, and no pod."""
    found = []
    for each in pods_of(thing):
        if each["kind"] == "Pod":
            metadata = {"labels": each["metadata"]["labels"]}
            template = {"metadata": metadata, "spec": {**each["spec"], **change}}
            controller = next(one for one in reversed(found) if one["kind"] != "ReplicaSet")
            controller["spec"] = {"template": template}
        elif each["kind"] != "ReplicaSet":
            found.append(each)
    return found


@pytest.mark.parametrize("kind", SPECS)
def test_the_template_counts_where_no_pod_runs(kind):
    """Its levels, changes and diff are those of a pod that was made from it."""
    thing = resource(kind, spec=SPECS[kind])
    of_pods = {each.component: each for each in audited(thing, *pods_of(thing))}
    of_templates = {each.component: each for each in audited(thing, *map(trimmed, templated(thing)))}
    assert of_templates.keys() == of_pods.keys() != set()
    for component, row in of_templates.items():
        pod = of_pods[component]
        assert (row.based_on, pod.based_on, row.pods) == ("template", "pods", 0)
        assert (row.level_now, row.level_after, row.controller) == (pod.level_now, pod.level_after, pod.controller)
        fields = {each.path for each in row.changes if each.rule == "security-context"}
        assert fields == {each.path for each in pod.changes if each.rule == "security-context"} != set()
        assert row.diff
        assert row.predicted is None


def test_a_template_that_differs_from_its_resource_is_what_the_next_pod_is_made_from():
    """Someone changed it, or the operator has not applied the resource yet."""
    thing = resource("VMSingle")
    (row,) = audited(thing, *map(trimmed, templated(thing, hostNetwork=True)))
    assert (row.level_now, row.level_after, row.based_on) == ("privileged", "privileged", "template")
    (row,) = audited(thing)
    assert (row.level_after, row.based_on) == ("restricted", "resource")


def test_controllers_of_others_and_without_a_template_do_not_count():
    thing = resource("VMSingle")
    bare = [{**each, "spec": {}} for each in templated(thing)]
    others = templated(resource("VMSingle", "other"), hostNetwork=True)
    (row,) = audited(thing, *bare, *others)
    assert (row.level_after, row.based_on) == ("restricted", "resource")


def test_a_running_pod_has_precedence_over_the_pod_template():
    thing = resource("VMSingle")
    *controllers, pod = pods_of(thing)
    controllers[0]["spec"] = templated(thing, hostNetwork=True)[0]["spec"]
    (row,) = audited(thing, *controllers, pod)
    assert (row.level_now, row.pods, row.based_on) == ("baseline", 1, "pods")


def test_the_claims_of_a_stateful_set_are_volumes_of_its_next_pod():
    """The template mounts them, and the controller adds the volumes."""
    thing = resource("VMCluster", spec={"vmstorage": {}})
    (controller,) = [each for each in templated(thing) if each["metadata"]["name"].startswith("vmstorage")]
    spec = controller["spec"]["template"]["spec"]
    data = [each for each in spec["volumes"] if each["name"] == "vmstorage-db"]
    spec["volumes"] = [each for each in spec["volumes"] if each not in data]
    controller["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "vmstorage-db"}, "spec": {"canary": 1}}]
    assert "canary" not in str(trimmed(controller))
    (row,) = [each for each in audited(thing, trimmed(controller)) if each.component == "vmstorage"]
    assert "read-only-root" not in {each.id for each in row.findings}
    assert row.verdict == "changes"


def test_a_trimmed_template_has_no_environment():
    (controller,) = templated(resource("VMSingle"))
    spec = controller["spec"]["template"]["spec"]
    spec["containers"][0] |= {"env": [{"name": "A", "value": "canary"}], "command": ["canary"]}
    assert b"canary" not in msgspec.json.encode(trimmed(controller))


def test_the_report_says_what_a_row_is_based_on():
    things = [resource("VMSingle", "bare"), resource("VMSingle", "zero")]
    things += map(trimmed, templated(things[1]))
    audit = asyncio.run(audit_saved(SavedObjects([], things, None), "file", 37, AuditScope(()), Settings()))
    report = report_of([audit], Settings())
    table = as_table(report, wide=True).splitlines()
    place = table[0].index("BASED ON")
    assert {line[place:].split()[0] for line in table[1:3]} == {"resource", "template"}
    page = as_html(report)
    assert "Predicted from the pod template of its Deployment." in page
    assert "Predicted from the resource." in page
