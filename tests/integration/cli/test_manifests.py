"""`vmguard manifests`, as a person runs it."""

import base64
from datetime import UTC, datetime

import pytest
import yaml

from certs import DirectoryStore, ensure
from tests.support.command import vmguard
from tests.support.server import ROOT
from webhook.manifests.deploy import FILES


def _services(out):
    return [hook["clientConfig"] for each in yaml.safe_load_all(out) for hook in each["webhooks"]]


def test_webhooks_prints_what_deploy_has():
    status, out, err = vmguard("manifests", "webhooks")
    assert (status, err) == (0, "")
    assert (ROOT / "deploy" / "webhook.yaml").read_text().endswith(f"\n{out}")


def test_the_names_of_another_installation_are_options():
    out = vmguard("manifests", "webhooks", "--namespace", "monitoring", "--service", "guard")[1]
    assert {(each["service"]["namespace"], each["service"]["name"]) for each in _services(out)} == {
        ("monitoring", "guard")
    }


def test_the_configurations_can_have_another_name():
    out = vmguard("manifests", "webhooks", "--webhook-configuration", "team.guard")[1]
    assert [each["metadata"]["name"] for each in yaml.safe_load_all(out)] == ["team.guard"] * 2


def test_fence_prints_what_deploy_has():
    status, out, err = vmguard("manifests", "fence")
    assert (status, err) == (0, "")
    deployed = list(yaml.safe_load_all((ROOT / "deploy" / "components" / "fence" / "fence.yaml").read_text()))
    for each in deployed:
        assert each["metadata"].pop("labels")["app.kubernetes.io/name"] == "vmguard"
    assert list(yaml.safe_load_all(out)) == deployed


def test_the_fence_follows_the_names_of_another_installation():
    names = ("--namespace", "monitoring", "--service-account", "guard.a", "--webhook-configuration", "team")
    policy, binding = yaml.safe_load_all(vmguard("manifests", "fence", *names)[1])
    assert policy["metadata"]["name"] == binding["metadata"]["name"] == "team-fence"
    assert "'system:serviceaccount:monitoring:guard.a'" in policy["spec"]["matchConditions"][0]["expression"]
    assert any("request.name == 'team'" in rule["expression"] for rule in policy["spec"]["validations"])


def test_every_namespace_can_enforce_deny():
    status, out, err = vmguard("manifests", "webhooks", "--enforce-deny")
    assert (status, err) == (0, "")
    paths = [each["service"]["path"] for each in _services(out)]
    assert paths == ["/mutate/enforced", "/validate/enforced", "/validate", "/validate"]


def test_the_bundle_has_the_certificates_of_the_file_and_no_key(tmp_path):
    ensure(DirectoryStore(tmp_path), ("localhost",), now=datetime.now(UTC))
    ca = (tmp_path / "ca.crt").read_bytes()
    (tmp_path / "both.pem").write_bytes((tmp_path / "tls.key").read_bytes() + ca)
    status, out, err = vmguard("manifests", "webhooks", "--ca-file", "both.pem", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert [base64.b64decode(each["caBundle"]) for each in _services(out)] == [ca] * 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("webhooks", "--ca-file", "gone"), "vmguard manifests: --ca-file gone: No such file or directory"),
        (("webhooks", "--ca-file", "text"), "vmguard manifests: --ca-file text has no certificate in PEM form"),
        (("webhooks", "--namespace", "a.b"), "'a.b' is not a DNS label"),
        (("webhooks", "--webhook-configuration", "A"), "'A' is not a DNS subdomain"),
        (("fence", "--service-account", "a' || true"), "is not a DNS subdomain"),
        (("deploy", "--directory", "text/deploy"), "vmguard manifests: text/deploy/webhook.yaml: Not a directory"),
        ((), "name one TARGET"),
        (("nothing",), "invalid choice: 'nothing'"),
    ],
)
def test_bad_usage_is_one_line(tmp_path, arguments, said):
    (tmp_path / "text").write_text("no certificate\n")
    status, out, err = vmguard("manifests", *arguments, cwd=tmp_path)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_deploy_writes_what_the_check_then_accepts(tmp_path):
    written = "".join(f"deploy/{path}\n" for path in FILES)
    assert vmguard("manifests", "deploy", cwd=tmp_path) == (0, written, "")
    assert vmguard("manifests", "deploy", "--check", cwd=tmp_path) == (0, "", "")
    assert vmguard("manifests", "deploy", cwd=tmp_path) == (0, "", "")
    assert (tmp_path / "deploy" / "webhook.yaml").read_text() == (ROOT / "deploy" / "webhook.yaml").read_text()


def test_the_check_names_the_file_that_differs_and_the_command(tmp_path):
    vmguard("manifests", "deploy", cwd=tmp_path)
    path = tmp_path / "deploy" / "webhook.yaml"
    text = path.read_text().replace("timeoutSeconds: 10", "timeoutSeconds: 5")
    path.write_text(text)
    status, out, err = vmguard("manifests", "deploy", "--check", cwd=tmp_path)
    assert (status, out) == (1, "")
    assert err == "deploy/webhook.yaml is not as generated: run vmguard manifests deploy\n"
    assert path.read_text() == text


def test_the_check_names_a_file_that_is_missing(tmp_path):
    vmguard("manifests", "deploy", "--directory", "here", cwd=tmp_path)
    (tmp_path / "here" / "webhook.yaml").unlink()
    status, out, err = vmguard("manifests", "deploy", "--directory", "here", "--check", cwd=tmp_path)
    assert (status, out) == (1, "")
    assert err == "here/webhook.yaml is missing: run vmguard manifests deploy --directory here\n"
