"""When `vmguard certs rotate` does not begin a rotation, and why."""

from dataclasses import replace

import pytest

from certs import MOST_OLD, Authority, Rotation
from tests.support.certificates import DAY, NOON
from webhook.cli.certificate_reading import SecretState
from webhook.cli.certs_rotate import why_not
from webhook.cluster.secret_data import SecretData


def made(days=365):
    return Authority.create("a CA", now=NOON, lifetime=days * DAY)


CURRENT = made()
FULL = Rotation(CURRENT, None, (made().certificate,) * MOST_OLD, NOON + DAY)


def found(rotation, damage=(), managed_by=None):
    metadata = {} if managed_by is None else {"annotations": {"vmguard.io/managed-by": managed_by}}
    return SecretState(SecretData({}, {"metadata": metadata}), rotation, damage)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "mon/vmguard-ca does not exist"),
        (found(Rotation()), "no CA that is valid now"),
        (found(Rotation(made(days=1))), "no CA that is valid now"),
        (found(Rotation(CURRENT, made())), "One is running"),
        (found(FULL), "8 old CAs are still trusted until 2030-01-02T12:00:00+00:00"),
        (found(Rotation(CURRENT), ("tls.key is missing or empty.",)), "is damaged"),
        (found(Rotation(CURRENT), (), "administrator"), "docs/certificates.md"),
        (found(Rotation(CURRENT), (), "another word"), "docs/certificates.md"),
    ],
)
def test_a_rotation_that_cannot_go_on_does_not_begin(state, reason):
    assert reason in why_not(state, "Secret mon/vmguard-ca", NOON + 2 * DAY)


@pytest.mark.parametrize("managed_by", [None, "vmguard"])
def test_a_valid_ca_can_be_rotated(managed_by):
    for rotation in (Rotation(CURRENT), replace(FULL, old=FULL.old[1:])):
        assert why_not(found(rotation, (), managed_by), "", NOON) == ""


def test_an_installation_with_watch_namespace_is_rotated_by_hand():
    state = found(Rotation(CURRENT))
    assert "docs/certificates.md has the steps" in why_not(state, "", NOON, watches_namespaces=True)


def test_certificates_from_files_are_rotated_where_they_are_from():
    state = found(Rotation(CURRENT))
    assert "serves the files in /certs" in why_not(state, "", NOON, files="/certs")
