"""The audit annotation of /validate lists every finding as JSON."""

import json

from tests.support.sample_pods import decide, patched, vmsingle


def findings_of(pod, objects, **more):
    annotations = decide(pod, objects, webhook="validate", **more).annotations
    assert all("/" not in key for key in annotations)
    return json.loads(annotations["findings"]) if "findings" in annotations else None


def test_a_pod_that_complies_has_no_such_annotation():
    pod, objects = vmsingle()
    admitted = patched(pod, decide(pod, objects))
    assert findings_of(pod, objects)
    assert findings_of(admitted, objects) is None
    assert "findings" not in decide(pod, objects).annotations


def test_each_entry_says_rule_path_wanted_and_found():
    pod, objects = vmsingle(None, {"containers": [{"name": "vmsingle", "securityContext": {"privileged": True}}]})
    entries = findings_of(pod, objects)
    path = "/spec/containers/0/securityContext"
    assert {"rule": "security-context", "path": f"{path}/privileged", "wanted": False, "found": True} in entries
    nonroot = "/spec/securityContext/runAsNonRoot"
    assert {"rule": "security-context", "path": nonroot, "wanted": True, "found": None} in entries
    assert {entry.keys() == {"rule", "path", "wanted", "found"} for entry in entries} == {True}


def test_it_stands_there_whatever_is_enforced():
    pod, objects = vmsingle()
    said = [findings_of(pod, objects, VMGUARD_ENFORCE=enforce) for enforce in ("off", "warn", "deny")]
    assert said[0] == said[1] == said[2]


def test_it_is_bounded_and_stays_json():
    drop = ["X" * 1000]
    many = [
        {"name": "vmsingle", "securityContext": {"privileged": True, "capabilities": {"drop": drop}}}
        for _ in range(200)
    ]
    pod, objects = vmsingle(None, {"containers": many})
    text = decide(pod, objects, webhook="validate").annotations["findings"]
    assert len(text) < 4300
    *told, last = json.loads(text)
    assert len(told) + last["more"] == len(decide(pod, objects, webhook="validate").findings)
    cut = [entry["found"] for entry in told if entry["path"].endswith("capabilities/drop")]
    assert all(isinstance(each, str) and each.endswith("…") for each in cut)
    assert cut
