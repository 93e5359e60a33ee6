"""The documentation says what the code does."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from tests.support.documentation import as_printed, shell_lines
from tests.support.server import ROOT
from webhook.cli.certs import TARGETS as CERTS
from webhook.cli.main import COMMANDS
from webhook.cli.manifests import TARGETS
from webhook.leader import psp_status
from webhook.policy import rules
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.custom_resources import BY_KIND as RESOURCES
from webhook.policy.resource_events import REASONS
from webhook.server.admission_handler import WEBHOOKS
from webhook.settings import SETTINGS, Settings
from webhook.telemetry.log import LEVELS
from webhook.telemetry.metrics import Metrics

DOCS = ROOT / "docs"


def _table(name):
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", (DOCS / name).read_text(), re.MULTILINE)
    return dict(rows)


def test_every_setting_is_documented_with_its_default():
    table = _table("settings.md")
    assert table.keys() == {setting.name for setting in SETTINGS.values()}
    for field, setting in SETTINGS.items():
        value = getattr(Settings(), field)
        default = str(value).lower() if isinstance(value, bool) else str(value or "none")
        assert table[setting.name].split("|")[0].strip().strip("`") == default
        assert table[setting.name].split("|")[1].strip() == setting.meaning


def _paths(page, start):
    """The paths in the first column of a page's tables that begin so."""
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / page).read_text(), re.MULTILINE)
    return {path for row in rows for path in re.findall(r"`([^`]+)`", row) if path.startswith(start)}


def test_the_design_lists_every_package_and_module():
    listed = _paths("docs/design.md", "webhook/")
    assert all((ROOT / path).exists() for path in listed)
    packages = {f"webhook/{path.parent.name}/" for path in (ROOT / "webhook").glob("*/__init__.py")}
    modules = {f"webhook/{path.name}" for path in (ROOT / "webhook").glob("*.py")} - {"webhook/__init__.py"}
    assert listed >= packages | modules


def test_the_folders_of_tests_are_those_that_are_described():
    listed = _paths("CONTRIBUTING.md", "tests/") - {"tests/unit/PACKAGE"}
    assert all((ROOT / path).is_dir() for path in listed)
    folders = {f"tests/integration/{path.parent.name}" for path in (ROOT / "tests" / "integration").glob("*/test_*.py")}
    assert {path for path in listed if path.startswith("tests/integration/")} == folders


def test_every_metric_is_documented_with_its_labels():
    table = _table("metrics.md")
    known = {}
    for metric in Metrics().registry.collect():
        suffix = "_total" if metric.type == "counter" else ""
        known[metric.name + suffix] = metric
    assert table.keys() == known.keys()
    metrics = Metrics()
    for name, attribute in {
        "vmguard_admission_requests_total": metrics.requests,
        "vmguard_admission_duration_seconds": metrics.duration,
        "vmguard_findings_total": metrics.findings,
        "vmguard_lookups_total": metrics.lookups,
        "vmguard_dry_run_requests_total": metrics.dry_runs,
        "leader_election_master_status": metrics.leader,
        "vmguard_noncompliant_pods": metrics.noncompliant,
        "vmguard_unjudged_pods": metrics.unjudged,
        "vmguard_unknown_kind_pods": metrics.unknown_kinds,
        "vmguard_exempt_namespaces": metrics.exempt,
        "vmguard_namespaces_with_unknown_label": metrics.mislabelled,
        "vmguard_uncovered_pods": metrics.uncovered,
        "vmguard_policy_troubles": metrics.policy_troubles,
        "vmguard_watch_ok": metrics.watched,
        "vmguard_webhook_ca_bundle_ok": metrics.webhook_ca_bundle_ok,
        "vmguard_weaker_entries": metrics.weaker_entries,
        "vmguard_build_info": metrics.build,
        "vmguard_config_info": metrics.config,
    }.items():
        assert tuple(re.findall("`([^`]+)`", table[name].split("|")[0])) == attribute._labelnames


def test_every_reason_of_an_event_is_documented_and_no_other():
    assert _table("events.md").keys() == {*REASONS, *psp_status._EVENTS.values()}


def test_every_rule_is_documented():
    assert _table("rules.md").keys() == {*rules.IDS, "workload"}


def test_every_audit_annotation_is_documented():
    from tests.support.sample_pods import decide, vmsingle  # noqa: PLC0415

    text = (DOCS / "http.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    asked = vmsingle()
    told = decide(*asked).annotations.keys() | decide(*asked, webhook="validate").annotations.keys()
    assert documented == {*told, "facts"}


def test_the_webhook_configurations_ask_for_what_is_served():
    documents = list(yaml.safe_load_all((ROOT / "deploy" / "base" / "webhooks.yaml").read_text()))
    hooks = [hook for document in documents for hook in document["webhooks"]]
    assert {hook["clientConfig"]["service"]["path"] for hook in hooks} == WEBHOOKS.keys()
    (resources,) = (hook for hook in hooks if hook["name"] == "resources.vmguard.io")
    wanted = {RESOURCES[kind].plural for kind in (*BY_KIND, *PARENTS)}
    assert set(resources["rules"][0]["resources"]) == wanted
    for hook in hooks:  # an event reports a denial, and a dry run writes none
        assert hook["sideEffects"] == ("NoneOnDryRun" if hook["rules"][0]["resources"] == ["pods"] else "None")


def test_the_readmes_review_command_prints_what_it_shows():
    text = (ROOT / "README.md").read_text()
    (command,) = (line for line in shell_lines(text) if line.startswith("vmguard review"))
    done = as_printed(command)
    assert done.returncode == 0, done.stderr
    shown = text.split(command)[1].split("```")[0].strip("\n").splitlines()
    printed = done.stdout.splitlines()
    for line in (line for line in shown if line != "…"):
        assert line in printed


def test_the_tutorials_audit_prints_what_it_shows():
    """The example has workloads that break, one to check, and one with nothing wrong."""
    text = (DOCS / "tutorial.md").read_text()
    (command,) = (line for line in shell_lines(text) if "examples/tutorial.yaml" in line)
    done = as_printed(command)
    assert done.returncode == 1, done.stderr
    assert done.stdout == text.split(f"$ {command}\n")[1].split("```")[0]


def test_the_readme_has_the_two_commands():
    lines = shell_lines((ROOT / "README.md").read_text())
    commands = [line.split("#")[0].strip() for line in lines if line.startswith("make ")]
    assert commands == ["make run", "make test"]
    for target in commands:
        assert f"\n{target.removeprefix('make ')}: " in (ROOT / "Makefile").read_text()


def test_every_link_of_the_documentation_leads_to_a_file():
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_index_has_each_page_once():
    links = re.findall(r"\]\(([a-z-]+\.md)\)", (DOCS / "README.md").read_text())
    assert sorted(links) == sorted(page.name for page in DOCS.glob("*.md") if page.name != "README.md")


def test_no_address_of_a_package_index_is_in_a_lock():
    for lock in ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text()


def test_every_command_has_its_section():
    text = (DOCS / "commands.md").read_text()
    assert set(re.findall(r"^## vmguard (\S+)$", text, re.MULTILINE)) == COMMANDS.keys()


def test_every_target_of_manifests_has_its_usage_line():
    text = (DOCS / "commands.md").read_text()
    assert re.findall(r"^    vmguard manifests (\S+)", text, re.MULTILINE) == list(TARGETS)


def test_every_target_of_certs_has_its_usage_line():
    text = (DOCS / "commands.md").read_text()
    assert re.findall(r"^    vmguard certs (\S+)", text, re.MULTILINE) == list(CERTS)


@pytest.mark.parametrize("option", ["--objects", "--kubernetes-version", "--webhook", "--output", "--cert-dir", "-v"])
def test_every_option_is_documented(option):
    assert option in (DOCS / "commands.md").read_text()


def test_every_option_in_the_code_is_in_the_documentation():
    text = (DOCS / "commands.md").read_text()
    for path in (ROOT / "webhook" / "cli").glob("*.py"):
        for option in re.findall(r'add_argument\(\s*"(--[a-z-]+)"', Path(path).read_text()):
            assert option == "--version" or option in text


def _messages():
    """The messages that the code logs, where they are one text."""
    for path in (ROOT / "webhook").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "write":
                texts = [each.value for each in call.args[:2] if isinstance(each, ast.Constant)]
                if len(texts) == 2 and texts[0] in LEVELS:
                    yield texts[1]


def test_every_message_of_the_log_is_documented():
    first_cells = re.findall(r"^\| ([^`|][^|]*) \|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    documented = {message.strip() for cell in first_cells for message in re.split("[,;]", cell)}
    messages = set(_messages())
    assert len(messages) > 30
    assert messages <= documented
