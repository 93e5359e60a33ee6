"""The result of an audit scan: what its log line, its metrics and readiness name, and how much of it."""

import asyncio
import io
import json

import msgspec
import pytest

from tests.support.field_cases import FIELD
from webhook.cli.files import read_files
from webhook.leader import audit_scan as module
from webhook.offline.file_facts import FileFacts
from webhook.offline.inputs import sort_documents
from webhook.settings import Settings
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics


class SurveyReports:
    """A scan that tells results, with the log lines and metrics that it wrote."""

    def __init__(self):
        self._stream, self.metrics = io.BytesIO(), Metrics()
        self.scan = module.AuditScan(None, None, None, Settings(), Log("info", self._stream), self.metrics)

    def tell(self, *results):
        async def run():
            for each in results:
                self.scan._tell(each)

        asyncio.run(run())

    def lines(self):
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def gauge(self, name, namespace):
        return self.metrics.registry.get_sample_value(name, {"namespace": namespace})


@pytest.fixture
def reports():
    return SurveyReports()


def test_no_namespace_crowds_another_out_of_the_line():
    wrong = {f"w of VMSingle a/{index:02}": module.Wrong("a", 1, "p", "x") for index in range(30)}
    wrong["w of VMSingle z/s"] = module.Wrong("z", 1, "p", "x")
    assert [each.namespace for _, each in module._of_each_namespace(wrong)[:3]] == ["a", "z", "a"]


def test_exempt_namespaces_are_named_counted_and_a_warning(reports):
    result = module.Result(exempt=("a", "b"))
    result.uncovered["a"] = 3
    reports.tell(result, module.Result())
    first, second = reports.lines()
    assert (first["level"], first["exempt"], first["not_covered"]) == ("warning", ["a", "b"], 3)
    assert (second["level"], "exempt" in second, "not_covered" in second) == ("info", False, False)


def test_the_metrics_are_those_of_the_last_survey(reports):
    result = module.Result(exempt=("a",))
    result.uncovered["a"] = 3
    reports.tell(result)
    assert reports.gauge("vmguard_exempt_namespaces", "a") == 1
    assert reports.gauge("vmguard_uncovered_pods", "a") == 3
    reports.tell(module.Result())
    assert reports.gauge("vmguard_exempt_namespaces", "a") is None
    assert reports.gauge("vmguard_uncovered_pods", "a") is None


def test_many_exempt_namespaces_are_bounded_everywhere(reports):
    names = tuple(f"n{index:03}" for index in range(module.MOST_NAMESPACES + 7))
    reports.tell(module.Result(exempt=names))
    (line,) = reports.lines()
    assert (len(line["exempt"]), line["more_exempt"]) == (module.MOST_NAMED, len(names) - module.MOST_NAMED)
    assert reports.gauge("vmguard_exempt_namespaces", names[module.MOST_NAMESPACES - 1]) == 1
    assert reports.gauge("vmguard_exempt_namespaces", names[module.MOST_NAMESPACES]) is None
    assert reports.gauge("vmguard_exempt_namespaces", "") == 7
    note = module.exempt_note(reports.scan.exempt)
    assert names[module.MOST_NAMED - 1] in note
    assert names[module.MOST_NAMED] not in note
    assert f"and {len(names) - module.MOST_NAMED} more: " in note


def test_namespaces_with_an_unknown_label_are_counted_by_name_up_to_a_limit(reports):
    names = tuple(f"n{index:03}" for index in range(module.MOST_NAMESPACES + 7))
    metric = "vmguard_namespaces_with_unknown_label"
    reports.tell(module.Result(mislabelled=dict.fromkeys(names, "why")))
    assert reports.gauge(metric, names[module.MOST_NAMESPACES - 1]) == 1
    assert reports.gauge(metric, names[module.MOST_NAMESPACES]) is None
    assert reports.gauge(metric, "") == 7
    reports.tell(module.Result())
    assert reports.gauge(metric, names[0]) is None


@pytest.mark.parametrize(("watched", "found"), [((), ["b", "z"]), (("trial", "good", "not-there"), ["trial"])])
def test_unknown_labels_are_those_of_the_watch_or_are_read_with_watch_namespace(tmp_path, watched, found):
    labels = {"trial": "Enforce", "good": "enforce"}
    documents = (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"vmguard.io/mode": value}}}
        for name, value in labels.items()
    )
    (tmp_path / "namespaces.yaml").write_text("\n---\n".join(map(json.dumps, documents)))
    source = FileFacts(sort_documents(read_files([str(tmp_path / "namespaces.yaml")])).facts, 37, complete=True)
    settings = Settings(watch_namespaces=watched)
    labelled = module.LabelledNamespaces(mislabelled={"b": "why", "z": "why"})
    log = Log("info", stream := io.BytesIO())
    scan = module.AuditScan(None, source, None, settings, log, Metrics(), labelled_namespaces=lambda: labelled)
    for _ in range(2):  # a warning comes once
        result = module.Result(mislabelled=asyncio.run(scan._labelled(source)).mislabelled)
        assert list(result.mislabelled) == found
        scan._show(result)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["message"], line["namespace"]) for line in lines] == [
        ("namespace label not known", name) for name in found if watched
    ]
    assert list(module.namespace_notes(scan.mislabelled)) == [f"namespace {name}" for name in found]


def test_workloads_in_kube_system_are_named_in_the_line_and_in_readiness(reports):
    result = module.Result()
    result.uncovered["kube-system"] = 2
    result.excluded["vmsingle of VMSingle kube-system/s"] = 2
    reports.tell(result)
    (line,) = reports.lines()
    assert line["excluded"] == ["vmsingle of VMSingle kube-system/s: 2"]
    assert reports.scan.excluded == (
        "2 running pods in kube-system, for which the API server does not call vmguard: "
        "vmsingle of VMSingle kube-system/s"
    )


def test_a_workload_says_whether_a_restart_would_help(reports):
    result = module.Result()
    for where in ("enforced", "trial", "exempt", "excluded"):
        result.wrong[where] = module.Wrong(where, 1, "p", "x", where)
    reports.tell(result)
    texts = dict(text.split(": ", 1) for text in reports.lines()[0]["workloads"])
    assert texts["enforced"] == "p: x"
    assert "is in a trial" in texts["trial"]
    assert "is exempt" in texts["exempt"]
    assert "not called" in texts["excluded"]


def test_a_namespace_that_leaves_the_trial_is_reported_again(reports):
    before, after = (
        module.Result(wrong={"w": module.Wrong("a", 1, "p", "x", where)}) for where in ("trial", "enforced")
    )
    reports.tell(before, before, after)
    assert len(reports.lines()) == 2


@pytest.mark.parametrize(("mode", "risks"), [("enforce", 1), ("audit", 0)])
def test_a_workload_says_what_breaks_when_its_pods_are_created_again(reports, mode, risks):
    """In a trial vmguard would not fill a new pod."""
    found = sort_documents(read_files([str(FIELD / "op749-default-flips/all.yaml")]))
    (pod,) = (item.object for item in found.inputs if item.kind == "Pod")
    metadata, source = pod["metadata"], FileFacts(found.facts, 37, complete=True)
    result = module.Result()
    scan = module.AuditScan(None, source, None, Settings(mode=mode), Log("info", io.BytesIO()), Metrics())
    raw = msgspec.Raw(msgspec.json.encode(pod))
    asyncio.run(scan._judge(metadata["namespace"], metadata["name"], metadata.get("uid", ""), raw, source, result))
    (wrong,) = result.wrong.values()
    assert len(wrong.risks) == risks
    text = "before it is created again: claim vmstorage-db was written as root, pods will run as 65534"
    assert (text in str(wrong)) == bool(risks)
