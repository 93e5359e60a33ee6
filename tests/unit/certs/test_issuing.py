"""Which leaf a server shows, and for how long its clients have trusted an authority."""

from __future__ import annotations

from datetime import timedelta

import pytest

from certs import LEAF_LIFETIME, OVERLAP, Authority, Installed, Issued, Rotation, next_leaf
from certs.authority import BACKDATE
from tests.support.certificates import DAY, NOON

NAME = "vmguard.vmguard-system.svc"
MINUTE = OVERLAP.total_seconds()
SECOND = timedelta(seconds=1)


def made(now=NOON):
    return Authority.create("a CA", now=now, lifetime=365 * DAY, only=NAME)


ONE, TWO, THREE = (made(NOON - 10 * DAY) for _ in range(3))
A, B, C = (each.certificate for each in (ONE, TWO, THREE))


def trusted(*certificates, at=0.0):
    """Both bundles have had these certificates since that moment."""
    installed = Installed()
    installed.observe([certificates, certificates], certificates, at=at)
    return installed


def shown_by(authority, now=NOON):
    return Issued(authority.issue([NAME], now=now, lifetime=LEAF_LIFETIME), authority.certificate)


def following(shown, rotation, installed, now=NOON, at=MINUTE):
    return next_leaf(shown, rotation, installed, name=NAME, now=now, at=at)


def test_a_certificate_is_trusted_from_the_moment_at_which_every_bundle_has_it():
    installed = Installed()
    installed.observe([(A,), (A, B)], (A, B), at=10)
    installed.observe([(A, B), (A, B)], (A, B), at=15)
    assert installed.lasting([A], at=20) == timedelta(seconds=10)
    assert installed.lasting([B], at=20) == timedelta(seconds=5)
    assert installed.lasting([A, B], at=20) == timedelta(seconds=5)
    installed.observe([(B,), (A, B)], (A, B), at=25)
    installed.observe([(A, B), (A, B)], (A, B), at=30)
    assert installed.lasting([A], at=30) == timedelta(0)
    assert installed.lasting([B], at=30) == timedelta(seconds=15)


def test_what_is_not_known_is_not_trusted():
    installed = trusted(A)
    assert installed.lasting([A, B], at=9) is None
    assert installed.lasting([], at=9) is None
    installed.forget()
    assert installed.lasting([A], at=9) is None


def test_only_the_authorities_of_interest_are_recorded():
    installed = Installed()
    installed.observe([(A, B)], (A,), at=0)
    assert installed.lasting([B], at=1) is None
    installed.observe([(A, B)], (B,), at=2)
    installed.observe([(A, B)], (A, B), at=3)
    assert installed.lasting([A], at=3) == timedelta(0)


def test_without_bundles_nothing_refuses_a_certificate():
    """Without configurations no client calls the server, so it changes as if all clients trusted the authority."""
    installed = Installed()
    installed.observe([], (A,), at=0)
    assert installed.lasting([A], at=1) == timedelta(seconds=1)


def test_the_first_leaf_is_shown_at_once_for_one_name_and_a_day():
    first = following(None, Rotation(ONE), Installed())
    assert first.signer == A
    assert first.leaf.names == (NAME,)
    assert (first.leaf.not_before, first.leaf.not_after) == (NOON - BACKDATE, NOON + LEAF_LIFETIME)


@pytest.mark.parametrize("rotation", [Rotation(), Rotation(made(NOON + DAY)), Rotation(made(NOON - 400 * DAY))])
def test_without_a_valid_authority_the_leaf_stays(rotation):
    shown = shown_by(ONE)
    assert following(shown, rotation, trusted(A), now=NOON + 10 * DAY if rotation.current is None else NOON) is shown
    assert following(None, rotation, trusted(A)) is None


def test_a_leaf_is_renewed_after_two_thirds_of_its_life():
    shown = shown_by(ONE)
    due = NOON + timedelta(hours=16)
    assert shown.renew_at == due
    assert following(shown, Rotation(ONE), trusted(A), now=due - SECOND) is shown
    renewed = following(shown, Rotation(ONE), trusted(A), now=due)
    assert renewed.leaf.not_after == due + LEAF_LIFETIME
    assert renewed.signer == A


@pytest.mark.parametrize("now", [NOON - timedelta(hours=3), NOON + DAY + SECOND])
def test_a_leaf_that_is_not_valid_now_is_replaced_though_its_authority_is_the_same(now):
    authority = made(NOON - 10 * DAY)
    shown = shown_by(authority)
    assert following(shown, Rotation(authority), Installed(), now=now) is not shown


def test_a_leaf_changes_to_the_next_authority_once_clients_have_trusted_that_for_a_minute():
    shown = shown_by(ONE)
    rotation = Rotation(TWO, None, (A,), NOON + DAY)
    both = trusted(A, B)
    assert following(shown, rotation, both, at=MINUTE - 1) is shown
    assert following(shown, rotation, both, at=MINUTE).signer == B
    assert following(shown, rotation, trusted(A), at=MINUTE) is shown


def test_a_leaf_that_clients_do_not_trust_any_more_does_not_wait():
    shown = shown_by(ONE)
    rotation = Rotation(TWO)
    for installed in (trusted(B), trusted(C), Installed()):
        assert following(shown, rotation, installed, at=0).signer == B


def test_a_leaf_of_another_authority_that_expired_does_not_wait():
    shown = shown_by(ONE, NOON - 2 * DAY)
    assert following(shown, Rotation(TWO), trusted(A), at=0).signer == B


def test_a_leaf_that_is_due_waits_for_clients_too():
    """Its authority signs no more: another leaf of it cannot be made, and the next authority is not known yet."""
    shown = shown_by(ONE)
    rotation = Rotation(TWO, None, (A,), NOON + DAY)
    assert following(shown, rotation, trusted(A, B), now=shown.renew_at, at=MINUTE - 1) is shown
