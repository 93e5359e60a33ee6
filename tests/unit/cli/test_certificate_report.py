"""From a state of the Secret, the files and the configurations to the report on them."""

import json
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from certs import Authority, Rotation
from tests.support.certificates import DAY, NOON
from webhook.cli.certificate_report import (
    ReadConfiguration,
    ReadFiles,
    ReadSecret,
    as_json,
    as_text,
    of_files,
    of_secret,
)
from webhook.cluster.webhook_entries import WebhookEntry
from webhook.server.own_certificate import Installation

HERE = Installation("mon", "vmguard")
SERVICE = "mon/vmguard"
KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


def made(now=NOON, days=365):
    return Authority.create("a CA", now=now, lifetime=days * DAY, only=HERE.server_name)


CURRENT, NEXT, OLD = made(), made(), made()
ONE = Rotation(CURRENT)
BOTH = Rotation(CURRENT, NEXT)
RETIRING = Rotation(CURRENT, None, (OLD.certificate,), NOON + DAY)


def configured(bundle, *, service=SERVICE):
    """Both configurations, each with one entry."""
    return [ReadConfiguration(kind, "vmguard", (WebhookEntry(0, "pods", service, bundle),)) for kind in KINDS]


def reported(state, bundle=None, *, now=NOON, administrator=False, damage=()):
    found = configured(state.bundle if bundle is None else bundle)
    return of_secret(HERE, ReadSecret(state, damage, administrator), found, now=now)


def short(authority):
    return str(reported(Rotation(authority)).ca).split()[2].rstrip(",")


@pytest.mark.parametrize(
    ("state", "phase"), [(ONE, "none"), (BOTH, "waiting"), (RETIRING, "retiring")], ids=["one", "both", "retiring"]
)
@pytest.mark.parametrize("administrator", [False, True])
def test_no_action_is_needed_while_each_entry_trusts_the_ca_of_the_secret(state, phase, administrator):
    report = reported(state, administrator=administrator)
    assert (report.status, report.ok, report.complete, report.problems) == (0, True, True, ())
    assert report.phase == phase
    assert as_text(report).endswith("\nAll is well.\n")


def test_the_text_says_which_ca_it_is_and_how_long_it_is_valid():
    text = as_text(reported(RETIRING, now=NOON + DAY / 2))
    for part in (
        "Secret mon/vmguard-ca",
        f"serial {CURRENT.certificate.serial_number:x}"[:15],
        "2030-01-01 10:00 UTC until 2031-01-01 12:00 UTC, 364 days left",
        "at 2030-09-01 20:00 UTC",
        "trusted until 2030-01-02 12:00 UTC",
    ):
        assert part in text


def test_a_fault_of_several_entries_is_reported_once():
    entries = tuple(WebhookEntry(index, name, SERVICE, b"") for index, name in enumerate(("pods", "resources")))
    report = of_secret(HERE, ReadSecret(ONE), [ReadConfiguration(KINDS[0], "vmguard", entries)], now=NOON)
    (problem,) = report.problems
    assert problem.startswith(f"Each of the entries pods, resources of {KINDS[0]} vmguard does not trust vmguard")


def test_the_next_ca_is_being_installed_until_each_entry_trusts_it():
    report = reported(BOTH, ONE.bundle)
    assert (report.status, report.phase) == (0, "installing")
    assert f"does not trust the next CA {short(NEXT)} yet" in as_text(report)


@pytest.mark.parametrize(
    ("state", "bundle", "what"),
    [
        (ONE, b"", "its caBundle is missing"),
        (ONE, b"no PEM", "its caBundle cannot be read"),
        (ONE, made().certificate_pem, "does not trust the CA"),
        (BOTH, NEXT.certificate_pem, "does not trust the CA"),
        (RETIRING, ONE.bundle, "does not trust the old CA"),
        (ONE, BOTH.bundle, "also trusts"),
    ],
)
def test_an_entry_with_another_bundle_is_named_with_what_to_do(state, bundle, what):
    report = reported(state, bundle)
    assert report.status == 1
    assert len(report.problems) == 2
    for kind, problem in zip(KINDS, report.problems, strict=True):
        assert problem.startswith(f"The entry pods of {kind} vmguard ")
        assert what in problem
        assert "read the leader's log" in problem
    assert "WRONG" in as_text(report)
    assert "All is well" not in as_text(report)


def test_the_bundle_of_an_administrator_may_have_more_and_is_his_to_write():
    assert reported(ONE, BOTH.bundle, administrator=True).status == 0
    report = reported(ONE, NEXT.certificate_pem, administrator=True)
    assert report.status == 1
    assert "vmguard certs trust" in report.problems[0]
    assert "leader" not in report.problems[0]


@pytest.mark.parametrize(
    ("state", "later", "what"),
    [
        (ONE, 366 * DAY, "not now"),
        (ONE, -DAY, "not now"),
        (ONE, 250 * DAY, "should have renewed the CA"),
        (BOTH, DAY, "does not go on"),
        (RETIRING, 2 * DAY, "should have removed the old CA"),
        (replace(RETIRING, old_until=None), timedelta(0), "should have removed the old CA"),
    ],
)
def test_what_the_leader_has_not_done_in_time_is_a_problem(state, later, what):
    report = reported(state, now=NOON + later)
    assert report.status == 1
    assert any(what in problem for problem in report.problems)


@pytest.mark.parametrize(
    ("state", "later"), [(ONE, 243 * DAY), (BOTH, timedelta(hours=2)), (RETIRING, DAY + timedelta(hours=2))]
)
def test_a_leader_that_is_late_by_a_little_is_no_problem(state, later):
    assert reported(state, now=NOON + later).status == 0


@pytest.mark.parametrize(("days", "status"), [(61, 0), (60, 1), (0, 1)])
def test_an_administrator_must_rotate_sixty_days_before_the_end(days, status):
    report = reported(ONE, now=NOON + (365 - days) * DAY, administrator=True)
    assert report.status == status
    assert report.renew_at is None
    assert ("Rotate it by hand" in as_text(report)) == bool(status)


def test_a_secret_that_is_missing_empty_or_damaged_has_its_remedy():
    missing = of_secret(HERE, ReadSecret(), configured(b""), now=NOON)
    assert "kubectl create secret generic vmguard-ca --namespace mon" in missing.problems[0]
    for administrator, command in ((False, "--cert-dir"), (True, "vmguard certs init --namespace mon")):
        empty = reported(Rotation(), administrator=administrator)
        assert empty.status == 1
        assert command in empty.problems[0]
    damaged = reported(ONE, damage=("next.crt is missing or empty.",))
    assert damaged.problems == ("next.crt is missing or empty.",)


def test_a_configuration_that_is_absent_or_calls_another_service_is_a_problem():
    found = [ReadConfiguration(KINDS[0], "vmguard", None), ReadConfiguration(KINDS[1], "vmguard", ())]
    report = of_secret(HERE, ReadSecret(ONE), found, now=NOON)
    assert report.status == 1
    absent, other = report.problems
    assert absent.startswith(f"There is no {KINDS[0]} vmguard")
    assert other.startswith(f"No entry of {KINDS[1]} vmguard calls")


def test_what_cannot_be_read_makes_the_report_incomplete():
    """Exit status 2 has precedence over 1, because the command does not know whether all is well."""
    unread = ReadConfiguration(KINDS[0], "vmguard", None, "may not get it")
    report = of_secret(HERE, ReadSecret(ONE), [unread, *configured(ONE.bundle)[1:]], now=NOON)
    assert (report.status, report.unreadable) == (2, ("may not get it",))
    assert report.problems == ()
    assert "Not read: may not get it" in as_text(report)
    secret = of_secret(HERE, ReadSecret(unreadable="may not get secrets"), configured(b""), now=NOON)
    assert (secret.status, secret.problems) == (2, ())


LEAF = CURRENT.issue([HERE.server_name], now=NOON, lifetime=DAY)


@pytest.mark.parametrize(
    ("bundle", "service", "status", "what"),
    [
        (CURRENT.certificate_pem, SERVICE, 0, ""),
        (BOTH.bundle, SERVICE, 0, ""),
        (b"", "", 0, ""),
        (b"", SERVICE, 1, "is missing"),
        (b"no PEM", SERVICE, 1, "cannot be read"),
        (NEXT.certificate_pem, SERVICE, 1, "not by this authority"),
    ],
)
def test_files_are_compared_with_each_bundle(bundle, service, status, what):
    found = configured(bundle, service=service)
    report = of_files(HERE, ReadFiles("/certs", LEAF), found, now=NOON)
    assert (report.status, report.source, report.place) == (status, "files", "/certs")
    assert all(what in problem for problem in report.problems)
    assert "files in /certs" in as_text(report)


def test_files_that_expired_are_one_problem_and_files_that_cannot_be_read_make_the_report_incomplete():
    found = configured(CURRENT.certificate_pem)
    expired = of_files(HERE, ReadFiles("/certs", LEAF), found, now=NOON + 2 * DAY)
    assert expired.status == 1
    (problem,) = expired.problems
    assert problem.startswith("/certs/tls.crt: ")
    assert "expired" in problem
    missing = of_files(HERE, ReadFiles("/c", None, "Missing: /c/tls.key."), found, now=NOON)
    assert (missing.status, missing.problems) == (2, ())


def test_a_leaf_for_another_name_is_named():
    free = Authority.create("a CA", now=NOON, lifetime=DAY)
    leaf = free.issue(["other.mon.svc"], now=NOON, lifetime=DAY)
    report = of_files(HERE, ReadFiles("/c", leaf), configured(free.certificate_pem), now=NOON)
    assert report.status == 1
    assert "lacks the names vmguard.mon.svc" in report.problems[0]


def test_the_keys_for_programs_stay():
    """docs/commands.md lists them; programs read them."""
    found = json.loads(as_json(reported(RETIRING)))
    assert found.keys() == {
        "source", "place", "renewedBy", "configurations", "ca", "renewAt", "phase", "next", "old", "oldUntil",
        "certificate", "ok", "complete", "problems", "unreadable", "weaker",
    }  # fmt: skip
    assert found["ca"].keys() == {"keyId", "serial", "notBefore", "notAfter", "daysLeft"}
    (configuration, _) = found["configurations"]
    assert configuration.keys() == {"kind", "name", "ok", "entries", "problem"}
    assert configuration["entries"][0].keys() == {"name", "ok", "trusts", "problem", "note"}
    assert found["ca"]["notAfter"] == "2031-01-01T12:00:00Z"
    assert found["oldUntil"] == "2030-01-02T12:00:00Z"


def test_no_report_has_a_key():
    for report in (reported(BOTH), of_files(HERE, ReadFiles("/c", LEAF), configured(b""), now=NOON)):
        for text in (as_json(report), as_text(report)):
            assert "PRIVATE" not in text


def test_entries_that_are_weaker_are_shown_and_need_no_action_for_the_certificates():
    report = msgspec.structs.replace(reported(ONE), weaker=("ONE", "TWO"))
    assert (report.status, report.ok) == (0, True)
    text = as_text(report)
    assert text.endswith(
        "\nWeaker than the manifests, on purpose or not: ONE.\n"
        "Weaker than the manifests, on purpose or not: TWO.\nThe certificates are well.\n"
    )
    assert json.loads(as_json(report))["weaker"] == ["ONE", "TWO"]
