"""Helm, its users and a registry of charts accept the chart without a complaint."""

import subprocess

import yaml

from tests.support.helm import CHART, NAMESPACE, RELEASE
from tests.support.patience import PATIENCE


def test_helm_finds_nothing_to_complain_of(helm, helm_3):
    for each in (helm, helm_3):
        done = each.run("lint", "--strict", str(CHART))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 chart(s) linted, 0 chart(s) failed" in done.stdout
        assert "[WARNING]" not in done.stdout


def test_helm_3_renders_what_helm_4_renders(helm, helm_3):
    """With everything switched on, and the test pod too."""
    values = {
        "watchNamespaces": ["one", "two"],
        "enforce": "deny",
        "certManager": {"enabled": True, "issuerRef": {"name": "ca"}},
        "networkPolicy": {"enabled": True},
        "serviceMonitor": {"enabled": True},
        "rules": {"enabled": True},
        "dashboards": {"enabled": True},
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}"}}],
    }
    for each in ({}, values):
        command = ("template", RELEASE, str(CHART), "--namespace", NAMESPACE)
        texts = [program.text(*command, values=each) for program in (helm, helm_3)]
        first, second = (
            sorted((thing for thing in yaml.safe_load_all(text) if thing), key=_identity) for text in texts
        )
        assert first == second


def _identity(thing):
    return thing["kind"], thing["metadata"]["name"], thing["metadata"].get("namespace", "")


def test_two_renderings_are_the_same(helm):
    """Nothing is random and nothing is looked up, so a GitOps tool finds no drift."""
    command = ("template", RELEASE, str(CHART), "--namespace", NAMESPACE)
    assert helm.text(*command) == helm.text(*command)


def test_the_chart_has_no_ca_bundle_no_secret_data_and_no_hook_except_the_test_pod(helm):
    text = helm.text("template", RELEASE, str(CHART), "--namespace", NAMESPACE)
    assert "caBundle" not in text
    hooks = set()
    for thing in yaml.safe_load_all(text):
        assert not (thing["kind"] == "Secret" and {"data", "stringData"} & thing.keys())
        if hook := thing["metadata"].get("annotations", {}).get("helm.sh/hook"):
            hooks.add((thing["kind"], hook))
    assert hooks == {("Pod", "test")}


def test_the_readme_is_made_by_helm_docs(helm_docs, tmp_path):
    """To make it again: run helm-docs in deploy/chart."""
    for name in ("Chart.yaml", "values.yaml", "README.md.gotmpl"):
        (tmp_path / name).write_bytes((CHART / name).read_bytes())
    subprocess.run([helm_docs], cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=True)
    assert (CHART / "README.md").read_text() == (tmp_path / "README.md").read_text()


def test_every_value_is_described(helm_docs):
    rows = [line for line in (CHART / "README.md").read_text().splitlines() if line.startswith("| ")]
    without = [line for line in rows if line.rstrip().endswith("|  |")]
    assert len(rows) > 50
    assert without == []


def test_a_package_of_the_chart_has_what_the_templates_read(helm, tmp_path):
    helm.text("package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.iterdir()
    unpacked = helm.text("template", RELEASE, str(package), "--namespace", NAMESPACE)
    assert unpacked == helm.text("template", RELEASE, str(CHART), "--namespace", NAMESPACE)


def test_a_chart_with_this_one_as_a_part_can_switch_it_off_and_share_the_registry(helm, tmp_path):
    """`enabled` is the condition of the parent chart, which the closed schema must let through."""
    parent = {
        "apiVersion": "v2",
        "name": "platform",
        "version": "1.0.0",
        "dependencies": [{"name": "vmguard", "version": "0.1.0", "condition": "vmguard.enabled"}],
    }
    (tmp_path / "charts").mkdir()
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(parent))
    (tmp_path / "charts" / "vmguard").symlink_to(CHART)
    command = ("template", "mine", str(tmp_path))
    shared = {"global": {"image": {"registry": "example.org"}, "other": 1}}
    assert 'image: "example.org/vmguard:' in helm.text(*command, values={**shared, "vmguard": {"enabled": True}})
    assert "vmguard" not in helm.text(*command, values={**shared, "vmguard": {"enabled": False}})
