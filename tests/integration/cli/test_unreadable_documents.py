"""`vmguard review` and `vmguard level` judge what they can read, and name each document that they cannot read."""

import json
from pathlib import Path

import pytest

from tests.support.command import vmguard
from tests.support.sample_pods import pod, vmsingle

FIELD = Path(__file__).parents[2] / "field"
RENDER = "a Helm template that is not rendered. Render it first: helm template … | vmguard review -"
NO_LIST = "a list is no Kubernetes object: write the objects one after another, or as items of a List"


def explained(*arguments, **extra):
    """Exit status, the first line of each explanation, and standard error."""
    status, out, err = vmguard("review", "--output", "explain", *arguments, **extra)
    return status, [line for line in out.splitlines() if line and not line.startswith((" ", "Summary"))], err


def test_documents_in_flow_style_and_json_after_each_other_are_read():
    names = ("cr.yaml", "trailing.yaml", "multi.yaml", "concat.json")
    assert explained(*names, cwd=FIELD / "flow-yaml") == (
        0,
        [
            "VMSingle mon/db  (cr.yaml:1)",
            "VMSingle default/db  (trailing.yaml:1)",
            "VMSingle default/db  (multi.yaml:1)",
            "VMAuth default/gate  (multi.yaml:2)",
            "VMSingle default/db  (concat.json:1)",
            "VMAuth default/gate  (concat.json:2)",
        ],
        "",
    )


def test_an_array_is_refused_with_what_to_write_instead():
    answer = (2, [], f"vmguard review: array.json:1: {NO_LIST}\n")
    assert explained("array.json", cwd=FIELD / "flow-yaml") == answer


@pytest.mark.parametrize(("name", "line"), [("cr.yaml", 1), ("mid.yaml", 4), ("mid2.yaml", 7)])
def test_an_unrendered_helm_template_is_one_line_that_says_how_to_render_it(name, line):
    assert explained(name, cwd=FIELD / "helm-template") == (2, [], f"{name}:{line}: {RENDER}\n")


def test_a_name_with_template_syntax_is_that_of_a_template():
    cr = {
        "apiVersion": "operator.victoriametrics.com/v1",
        "kind": "VLSingle",
        "metadata": {"name": "x-{{ .Release.Name }}"},
    }
    what = "metadata.name is 'x-{{ .Release.Name }}': a Helm template that is not rendered"
    assert explained("-", stdin=cr) == (2, [], f"vmguard review: stdin:1: {what}\n")


def test_one_unreadable_file_hides_no_verdict_on_the_others():
    status, titles, err = explained("template.yaml", "gone.yaml", "cr.yaml", cwd=FIELD / "one-bad-of-many")
    assert (status, titles) == (2, ["VMSingle mon/a  (cr.yaml:1)"])
    lines = err.splitlines()
    assert lines[:2] == [f"template.yaml:4: {RENDER}", "gone.yaml: No such file or directory"]
    assert lines[-1].startswith("Denied: VMSingle mon/a  (cr.yaml:1): VMSingle mon/a spec.securityContext has")


def test_one_unreadable_document_hides_no_verdict_on_the_others():
    denied = (FIELD / "one-bad-of-many" / "cr.yaml").read_text()
    text = f"{denied}---\na: [\n---\n{{}}\n---\n{denied}"
    status, titles, err = explained("-", stdin=text)
    assert (status, titles) == (2, ["VMSingle mon/a  (stdin:1)", "VMSingle mon/a  (stdin:9)"])
    assert err.splitlines()[:2] == [
        "stdin:7:1: not valid YAML: did not find expected node content",
        "vmguard review: stdin:7: not a Kubernetes object: it has no kind",
    ]


def test_an_unreadable_document_among_the_objects_hides_no_verdict(tmp_path):
    thing, objects = vmsingle()
    bad = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": 5}}
    (tmp_path / "objects.json").write_text(
        "\n---\n".join(map(json.dumps, [*objects, bad])) + "\n---\n{{ .Values.x }}\n"
    )
    status, titles, err = explained("--objects", "objects.json", "-", stdin=thing, cwd=tmp_path)
    assert (status, titles) == (2, ["Pod mon/db-0  (stdin:1)"])
    what = "metadata.name is an integer but must be a string"
    assert err.splitlines() == [
        f"vmguard review: objects.json:{2 * len(objects)}: ServiceAccount '5': {what}",
        f"objects.json:{2 * len(objects) + 3}: {RENDER}",
    ]


def test_level_judges_the_pods_that_it_can_read(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: 1\nb: {{ .Values.x }}\n")
    (tmp_path / "two.yaml").write_text(f"{json.dumps(pod())}\n---\na: [\n---\n[]\n")
    status, out, err = vmguard("level", "bad.yaml", "two.yaml", "none.yaml", cwd=tmp_path)
    assert (status, out) == (2, "two.yaml: baseline\n")
    assert err.splitlines() == [
        f"bad.yaml:2: {RENDER}",
        "two.yaml:4:1: not valid YAML: did not find expected node content",
        f"vmguard level: two.yaml:4: {NO_LIST}",
        "none.yaml: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("bool-string", "spec.useStrictSecurity is a string but must be a boolean"),
        ("type-sc-string", "spec.securityContext is a string but must be an object"),
    ],
)
def test_a_string_for_another_type_is_denied_with_the_types(case, message):
    status, _, err = explained("cr.yaml", cwd=FIELD / case)
    assert status == 1
    assert f"VMSingle mon/x: {message}: vmguard cannot tell what its pods must look like; correct the type" in err


def test_the_pod_of_a_resource_with_a_string_for_a_boolean_is_refused():
    status, _, err = explained("--objects", "objects.yaml", "pod.yaml", cwd=FIELD / "type-strict-string-pod")
    assert status == 1
    assert "VMSingle mon/db: spec.useStrictSecurity is a string but must be a boolean; correct the type there" in err
