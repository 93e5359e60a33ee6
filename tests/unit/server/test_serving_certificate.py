"""The pair of a directory is shown, and another one from the moment when it is whole and valid."""

import asyncio
import io
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from certs import CertificateError, DirectoryStore
from webhook.server.certificate_files import CertificateFiles
from webhook.server.serving_certificate import ServingCertificate
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

NOW = datetime.now(UTC)
AUTHORITY = trustme.CA()


def made(days=90, *, since=1, name="localhost"):
    """A certificate and its key, valid from some days ago until some days from now."""
    start, end = NOW - timedelta(days=since), NOW + timedelta(days=days)
    pair = AUTHORITY.issue_cert(name, not_before=start, not_after=end)
    return pair.cert_chain_pems[0].bytes(), pair.private_key_pem.bytes()


def write(folder, chain, key):
    (folder / "tls.crt").write_bytes(chain)
    (folder / "tls.key").write_bytes(key)


class Shown:
    """What is shown of a folder, and what is reported."""

    def __init__(self, folder, now=NOW):
        self.folder = folder
        self.stream = io.BytesIO()
        self.metrics = Metrics()
        self.certificate = ServingCertificate(
            CertificateFiles(DirectoryStore(folder)), Log(stream=self.stream), self.metrics, lambda: now
        )

    def look(self, times=1):
        """The errors that so many readings log."""
        before = self.stream.tell()
        for _ in range(times):
            asyncio.run(self.certificate.look())
        lines = map(json.loads, self.stream.getvalue()[before:].splitlines())
        return [line for line in lines if line["level"] == "error"]

    def lines(self):
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def days(self):
        """Days until the end of what is shown, by the metric."""
        (sample,) = self.metrics.certificate_expiry.collect()[0].samples
        return round((sample.value - NOW.timestamp()) / 86400)

    def renewals(self, result):
        return self.metrics.certificate_renewals.labels("files", result)._value.get()


@pytest.fixture
def shown(tmp_path):
    write(tmp_path, *made(30))
    return Shown(tmp_path)


def test_a_new_pair_is_shown_and_the_metric_has_its_end(shown):
    before = shown.certificate.context
    assert (shown.days, shown.look(), shown.certificate.context) == (30, [], before)
    write(shown.folder, *made(60))
    assert not shown.look()
    assert shown.days == 60
    assert shown.certificate.context is not before
    assert (shown.renewals("success"), shown.renewals("error")) == (1, 0)


def test_a_mounted_secret_is_exchanged_by_its_link(tmp_path):
    """The kubelet writes a new folder and renames one link; the three names in the directory never change."""
    for version, days in (("v1", 30), ("v2", 60)):
        (tmp_path / version).mkdir()
        write(tmp_path / version, *made(days))
    (tmp_path / "..data").symlink_to("v1")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    shown = Shown(tmp_path)
    assert shown.days == 30
    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert not shown.look()
    assert shown.days == 60


def replaced_by(content):
    return lambda path: path.write_bytes(content)


def removed(path):
    path.unlink()


def emptied(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def a_folder(path):
    path.unlink()
    path.mkdir()


def of_another_pair(path):
    path.write_bytes(dict(zip(("tls.crt", "tls.key"), made(60), strict=True))[path.name])


FAULTS = [removed, emptied, cut, replaced_by(b"no PEM"), a_pipe, a_folder, of_another_pair]


@pytest.mark.parametrize("file", ["tls.crt", "tls.key"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_last_good_pair_is_shown_until_there_is_another_one(shown, fault, file):
    before = shown.certificate.context
    fault(shown.folder / file)
    (line,) = shown.look()
    assert line["message"] == "certificate needs attention"
    assert file in line["reason"]
    assert shown.certificate.note == line["reason"]
    assert (shown.certificate.context, shown.days) == (before, 30)
    assert shown.renewals("error") == 1
    path = shown.folder / file
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    write(shown.folder, *made(60))
    assert not shown.look()
    assert (shown.days, shown.certificate.note) == (60, "")


def test_a_pair_that_came_back_is_no_trouble_any_more(shown):
    pair = (shown.folder / "tls.crt").read_bytes(), (shown.folder / "tls.key").read_bytes()
    cut(shown.folder / "tls.key")
    assert shown.look()
    write(shown.folder, *pair)
    assert not shown.look()
    assert shown.certificate.note == ""


@pytest.mark.slow
def test_the_same_trouble_is_logged_once_an_hour_and_another_one_at_once(shown):
    cut(shown.folder / "tls.key")
    assert len(shown.look(360)) == 1
    assert len(shown.look(1)) == 1
    removed(shown.folder / "tls.key")
    assert len(shown.look(10)) == 1


@pytest.mark.parametrize(("days", "since"), [(-1, 2), (90, -1)], ids=["expired", "not yet valid"])
def test_a_pair_that_is_not_valid_now_does_not_replace_one_that_is(shown, days, since):
    write(shown.folder, *made(days, since=since))
    (line,) = shown.look()
    assert "Put a certificate there that is valid now" in line["reason"]
    assert shown.days == 30


def test_of_two_expired_pairs_the_newer_one_is_shown_and_readiness_has_a_note(tmp_path):
    write(tmp_path, *made(-20, since=40))
    shown = Shown(tmp_path)
    assert "the API server refuses it" in shown.certificate.note
    write(tmp_path, *made(-10, since=40))
    (line,) = shown.look()
    assert "The certificate expired at" in line["reason"]
    assert shown.days == -10
    write(tmp_path, *made(-20, since=40))
    assert shown.look()
    assert shown.days == -10
    assert "expired at" in shown.certificate.note


def test_a_certificate_that_ends_is_reported_at_the_start_near_its_end_and_when_a_newer_one_is_there(tmp_path):
    write(tmp_path, *made(-1, since=40))
    shown = Shown(tmp_path)
    asyncio.run(begun(shown.certificate))
    assert [line["level"] for line in shown.lines()] == ["error"]
    write(tmp_path, *made(2, since=40))
    assert not shown.look()
    assert "expires at" in shown.certificate.note
    assert [line["level"] for line in shown.lines()][1:] == ["info", "warning"]
    write(tmp_path, *made(30, since=40))
    assert not shown.look()
    assert shown.certificate.note == ""
    assert shown.lines()[-1]["message"] == "certificate is good again"


async def begun(certificate):
    """The first steps of its task, before its first pause."""
    task = asyncio.ensure_future(certificate.run())
    await asyncio.sleep(0)
    task.cancel()


@pytest.mark.parametrize("file", ["tls.crt", "tls.key"])
def test_without_one_of_the_two_there_is_no_start(tmp_path, file):
    write(tmp_path, *made())
    (tmp_path / file).unlink()
    with pytest.raises(CertificateError, match=f"Missing: {tmp_path / file}. Needed are"):
        Shown(tmp_path)


def test_an_unexpected_error_does_not_end_the_readings(shown, monkeypatch):
    def fails(_self):
        raise RuntimeError("what?")

    with monkeypatch.context() as broken:
        broken.setattr(DirectoryStore, "contents", fails)
        (line,) = shown.look()
    assert "RuntimeError" in line["reason"]
    write(shown.folder, *made(60))
    assert not shown.look()
    assert shown.days == 60
