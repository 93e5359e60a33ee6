"""The question a leaf answers: would clients of this authority take it now, under these names, and if not, why?"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from certs import CertificateError, FaultKind, Leaf
from tests.support.certificates import DAY, NOON, Handshake, Issue, new_authority

ROOT = new_authority(lifetime=30 * DAY)
LEAF = ROOT.issue(["localhost", "127.0.0.1"], now=NOON, lifetime=10 * DAY)


def fault(leaf: Leaf = LEAF, *, now: datetime = NOON, name: str = "localhost", authority: bytes | None = None):
    reason = leaf.why_unusable(now=now, names=[name], authority_pem=authority or ROOT.certificate_pem)
    return reason and reason.kind


def test_a_good_leaf_has_nothing_against_it():
    assert fault() is None
    assert fault(name="127.0.0.1") is None


def test_a_leaf_is_valid_from_not_before_to_not_after_inclusive():
    second = timedelta(seconds=1)
    assert fault(now=LEAF.not_before - second) is FaultKind.NOT_YET_VALID
    assert fault(now=LEAF.not_before) is None
    assert fault(now=LEAF.not_after) is None
    assert fault(now=LEAF.not_after + second) is FaultKind.EXPIRED


def test_a_name_it_lacks_is_named():
    reason = LEAF.why_unusable(now=NOON, names=["localhost", "::1"], authority_pem=ROOT.certificate_pem)
    assert reason is not None
    assert reason.kind is FaultKind.NAME_MISSING
    assert str(reason) == "the certificate lacks the names ::1; it has localhost, 127.0.0.1"


def test_the_key_of_another_leaf_does_not_match():
    other = ROOT.issue(["localhost"], now=NOON, lifetime=DAY)
    assert fault(Leaf(LEAF.chain_pem, other.key_pem)) is FaultKind.KEY_MISMATCH


def test_an_authority_of_the_same_name_but_another_key_has_not_signed_it():
    other = new_authority(lifetime=30 * DAY)
    assert fault(authority=other.certificate_pem) is FaultKind.NOT_SIGNED


def test_one_of_several_authorities_suffices():
    other = new_authority(lifetime=30 * DAY)
    assert fault(authority=other.certificate_pem + ROOT.certificate_pem) is None


def test_a_chain_leads_over_its_intermediates_in_any_order(issue: Issue, now: datetime, handshake: Handshake):
    root = issue("root")
    upper = issue("upper", by=root)
    lower = issue("lower", by=upper)
    end = issue("leaf", by=lower, names=("localhost",))
    leaf = Leaf(end.pem + lower.pem + upper.pem, end.key_pem)
    assert fault(leaf, now=now, authority=root.pem) is None
    assert fault(Leaf(end.pem + upper.pem + lower.pem, end.key_pem), now=now, authority=root.pem) is None
    assert fault(leaf, now=now, authority=upper.pem) is None
    assert handshake(leaf, root.pem, "localhost") == ""


def test_a_chain_with_a_gap_is_not_signed(issue: Issue, now: datetime):
    root = issue("root")
    upper = issue("upper", by=root)
    end = issue("leaf", by=issue("lower", by=upper), names=("localhost",))
    assert fault(Leaf(end.pem + upper.pem, end.key_pem), now=now, authority=root.pem) is FaultKind.NOT_SIGNED


@pytest.mark.parametrize("expired", ["root", "intermediate"])
def test_an_expired_certificate_above_it_is_named(issue: Issue, now: datetime, expired: str):
    past = now - timedelta(hours=1)
    root = issue("root", end=past if expired == "root" else None)
    between = issue("intermediate", by=root, end=past if expired == "intermediate" else None)
    end = issue("leaf", by=between, names=("localhost",))
    reason = Leaf(end.pem + between.pem, end.key_pem).why_unusable(now=now, names=[], authority_pem=root.pem)
    assert reason is not None
    assert reason.kind is FaultKind.EXPIRED
    assert f"'CN={expired}' expired at {past.isoformat()}" in str(reason)


def test_a_renewed_authority_beside_its_expired_self_is_enough(issue: Issue, now: datetime):
    old = issue("root", end=now - DAY / 2)
    new = issue("root", key=old.key)
    end = issue("leaf", by=old, names=("localhost",))
    assert fault(Leaf(end.pem, end.key_pem), now=now, authority=old.pem) is FaultKind.EXPIRED
    assert fault(Leaf(end.pem, end.key_pem), now=now, authority=old.pem + new.pem) is None


def test_a_leaf_that_is_trusted_by_itself_is_usable(issue: Issue, now: datetime):
    alone = issue("alone", names=("localhost",))
    assert fault(Leaf(alone.pem, alone.key_pem), now=now, authority=alone.pem) is None


def test_a_leaf_that_is_trusted_in_place_of_its_issuer_is_usable(issue: Issue, now: datetime):
    end = issue("leaf", by=issue("root"), names=("localhost",))
    assert fault(Leaf(end.pem, end.key_pem), now=now, authority=end.pem) is None


def test_the_common_name_counts_for_nothing(issue: Issue, now: datetime):
    root = issue("root")
    end = issue("localhost", by=root)
    assert fault(Leaf(end.pem, end.key_pem), now=now, authority=root.pem) is FaultKind.NAME_MISSING


@pytest.mark.parametrize("text", [b"", b"nonsense", b"\xff\x00", LEAF.key_pem, LEAF.chain_pem[:-40]])
def test_a_chain_that_cannot_be_read_is_an_error_that_says_where(text: bytes):
    with pytest.raises(CertificateError, match=r"^/there cannot be read as certificates"):
        Leaf(text, LEAF.key_pem, chain_from="/there")


@pytest.mark.parametrize("text", [b"", b"nonsense", b"\xff\x00", LEAF.chain_pem, LEAF.key_pem[:-40]])
def test_a_key_that_cannot_be_read_is_an_error_that_says_where_but_not_what(text: bytes):
    with pytest.raises(CertificateError, match=r"^/there cannot be read as a private key") as refusal:
        Leaf(LEAF.chain_pem, text, key_from="/there")
    assert refusal.value.__suppress_context__  # nor does what is printed with it
    assert LEAF.key_pem.splitlines()[1].decode() not in str(refusal.value)
