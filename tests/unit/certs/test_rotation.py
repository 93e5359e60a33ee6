"""The phases of a rotation, and the state as the data of a Secret."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from certs import (
    AUTHORITY_LIFETIME,
    LEAF_LIFETIME,
    OVERLAP,
    SETTLED,
    Authority,
    CertificateError,
    Rotation,
    from_data,
    heal,
    step,
    to_data,
)
from certs.pem import certificates_in
from certs.rotation import CONFIRMED, MOST_OLD, RETIREMENT
from tests.support.certificates import DAY, NOON

NAME = "vmguard.vmguard-system.svc"
DUE = NOON + 365 * DAY * 2 / 3


def made(now=NOON, only=NAME):
    return Authority.create("a CA", now=now, lifetime=365 * DAY, only=only)


def stepped(rotation, now, *, installed=None, unchanged=timedelta(0)):
    return step(rotation, now=now, installed=installed, unchanged=unchanged, create=lambda: made(now))


def test_the_times_are_those_of_the_documentation():
    """docs/certificates.md: people plan by them, and the alerts are made for them."""
    assert (timedelta(days=365), timedelta(hours=24)) == (AUTHORITY_LIFETIME, LEAF_LIFETIME)
    assert (timedelta(seconds=60), timedelta(minutes=2)) == (OVERLAP, SETTLED)
    assert (timedelta(hours=26), timedelta(hours=1)) == (RETIREMENT, CONFIRMED)
    authority = made()
    assert authority.certificate.not_valid_after_utc - authority.renew_at > timedelta(days=120)


def test_the_first_authority_signs_at_once():
    first = stepped(Rotation(), NOON)
    assert first.current
    assert (first.next, first.old) == (None, ())
    assert stepped(first, NOON + DAY) == first


def test_a_rotation_waits_for_clients_before_and_after_the_change():
    first = stepped(Rotation(), NOON)
    assert stepped(first, DUE - timedelta(seconds=1), installed=DAY, unchanged=DAY) == first
    both = stepped(first, DUE)
    assert (both.current, len(both.trusted)) == (first.current, 2)
    for installed in (None, timedelta(0), OVERLAP - timedelta(seconds=1)):
        assert stepped(both, DUE + DAY, installed=installed) == both
    changed = stepped(both, DUE + DAY, installed=OVERLAP)
    assert (changed.current, changed.next, changed.bundle) == (both.next, None, both.bundle)
    end = DUE + DAY + RETIREMENT
    assert changed.old_until == end
    assert stepped(changed, end - timedelta(seconds=1), unchanged=DAY) == changed
    assert stepped(changed, end, unchanged=CONFIRMED - timedelta(seconds=1)) == changed, "a clock that jumped"
    assert stepped(changed, end, unchanged=CONFIRMED) == Rotation(both.next)


def test_without_a_valid_authority_nothing_waits():
    both = stepped(stepped(Rotation(), NOON), DUE)
    after = stepped(both, NOON + 366 * DAY)
    assert (after.current, after.bundle) == (both.next, both.bundle)
    expired = Rotation(both.current)
    replaced = stepped(expired, NOON + 400 * DAY)
    assert replaced.current != expired.current
    assert expired.current.certificate in replaced.old


def test_what_was_lost_comes_back_from_what_is_known_and_installed():
    both = stepped(stepped(Rotation(), NOON), DUE)
    assert heal(Rotation(), both, (), now=DUE, damaged=False) == both
    unknown = heal(Rotation(), Rotation(), both.trusted, now=DUE, damaged=False)
    assert (unknown.current, set(unknown.old)) == (None, set(both.trusted))
    assert unknown.old_until == DUE + RETIREMENT
    assert heal(both, both, both.trusted, now=DUE, damaged=False) == both


def test_a_lost_authority_comes_back_with_its_old_ones_and_the_next_one_that_was_found():
    known = Rotation(made(), made(), (made().certificate,), NOON + DAY)
    found = Rotation(None, made())
    healed = heal(found, known, (), now=NOON, damaged=True)
    assert (healed.current, healed.next) == (known.current, found.next)
    assert healed.old == known.old
    assert healed.old_until == NOON + RETIREMENT
    assert heal(Rotation(), known, (), now=NOON, damaged=True).next == known.next


def test_where_another_state_was_written_servers_still_show_leaves_of_the_known_authority():
    """As when a Secret is restored from a backup: the known authority signed what servers show now."""
    known, found = Rotation(made(), made(), (made().certificate,), NOON + DAY), Rotation(made())
    healed = heal(found, known, [made().certificate], now=NOON, damaged=False)
    assert healed == Rotation(found.current, None, (known.current.certificate,), NOON + RETIREMENT)


def test_where_a_part_is_damaged_all_that_is_known_and_installed_stays_trusted():
    known, found, installed = Rotation(made(), made(), (made().certificate,)), Rotation(made()), made().certificate
    healed = heal(found, known, [installed], now=NOON, damaged=True)
    assert set(healed.old) == {*known.trusted, installed}
    assert (healed.current, healed.next, healed.old_until) == (found.current, None, NOON + RETIREMENT)


def test_what_was_found_to_be_old_stays_old_when_more_is_added():
    known = Rotation(made())
    found = Rotation(made(), None, (made().certificate,), NOON + DAY)
    healed = heal(found, known, (), now=NOON, damaged=False)
    assert healed.old == (*found.old, known.current.certificate)
    assert heal(found, Rotation(), (), now=NOON, damaged=False) == found


def test_of_too_many_lost_authorities_those_that_end_last_stay_trusted():
    some = [made(NOON + hour * timedelta(hours=1)).certificate for hour in range(MOST_OLD + 2)]
    healed = heal(Rotation(), Rotation(), some, now=NOON, damaged=False)
    assert set(healed.old) == set(some[2:])
    full = Rotation(made(), None, tuple(some[:MOST_OLD]), NOON + DAY)
    assert heal(full, Rotation(made()), (), now=NOON, damaged=False) == full
    almost = replace(full, old=full.old[1:])
    assert heal(almost, Rotation(), some, now=NOON, damaged=True).old == (*almost.old, some[-1])


def test_with_too_many_old_authorities_no_further_rotation_begins():
    old = tuple(made().certificate for _ in range(MOST_OLD))
    until = DUE + RETIREMENT
    full = Rotation(made(), None, old, until)
    assert stepped(full, DUE) == full
    assert stepped(Rotation(made(), None, old[1:], until), DUE).next


def test_an_authority_that_is_not_valid_now_is_replaced_however_many_old_ones_there_are():
    """A clock that was ahead made it; waiting for the old ones to leave would leave servers without a certificate."""
    old = tuple(made(NOON + hour * timedelta(hours=1)).certificate for hour in range(MOST_OLD))
    early = Rotation(made(NOON + 400 * DAY), None, old, NOON + DAY)
    both = stepped(early, NOON)
    assert both.next
    changed = stepped(both, NOON, installed=OVERLAP)
    assert changed.current == both.next
    assert set(changed.old) == {*old[1:], early.current.certificate}
    expired = Rotation(made(NOON - 400 * DAY), None, old, NOON + DAY)
    assert set(stepped(expired, NOON).old) == set(old)


def test_an_authority_that_is_not_valid_yet_is_replaced_like_one_that_is_due():
    """A clock that was ahead made it."""
    early = Rotation(made(NOON + DAY))
    assert stepped(early, NOON).next


def test_a_next_authority_that_is_due_or_not_valid_yet_is_made_again():
    for following, now in ((made(NOON + 3 * DAY), NOON), (made(NOON - 364 * DAY), NOON), (made(), DUE)):
        before = Rotation(made(now - DAY), following)
        again = stepped(before, now, installed=DAY)
        assert again.current == before.current
        assert again.next not in {None, following}
        assert again.next.valid_at(now)
    just = Rotation(made(DUE - DAY), made())
    assert stepped(just, DUE - timedelta(seconds=1), installed=DAY).current == just.next


def test_without_a_valid_authority_a_next_one_that_is_valid_signs_at_once_and_another_one_does_not():
    expired, now = made(NOON - 400 * DAY), NOON
    good, bad = made(), made(NOON + 3 * DAY)
    assert stepped(Rotation(expired, good), now).current == good
    assert stepped(Rotation(None, good), now) == Rotation(good)
    for rotation in (Rotation(expired, bad), Rotation(None, bad)):
        assert stepped(rotation, now).current not in {good, bad, expired}
    old = (made().certificate,)
    assert stepped(Rotation(None, None, old, NOON + DAY), now).old == old


def test_an_authority_signs_until_its_last_second():
    authority = made()
    end = authority.certificate.not_valid_after_utc
    assert stepped(Rotation(authority), end).current == authority
    assert stepped(Rotation(authority), end + timedelta(seconds=1)).current != authority


@pytest.mark.parametrize("until", [None, NOON + RETIREMENT + timedelta(seconds=1), NOON + 400 * DAY])
def test_an_end_of_trust_that_a_wrong_clock_wrote_is_set_right(until):
    wrong = Rotation(made(), None, (made().certificate,), until)
    assert stepped(wrong, NOON, unchanged=DAY) == replace(wrong, old_until=NOON + RETIREMENT)


def test_an_end_of_trust_within_the_time_is_left_as_it_is():
    for until in (NOON + RETIREMENT, NOON + timedelta(seconds=1), NOON):
        right = Rotation(made(), None, (made().certificate,), until)
        assert stepped(right, NOON, unchanged=CONFIRMED - timedelta(seconds=1)) == right


def test_old_authorities_leave_before_a_due_rotation_begins():
    late = Rotation(made(), None, (made().certificate,), DUE - DAY)
    assert stepped(late, DUE, unchanged=CONFIRMED) == Rotation(late.current)


def test_the_bundle_has_each_certificate_once_and_the_oldest_first():
    first, second = made(NOON), made(NOON + DAY)
    rotation = Rotation(second, None, (second.certificate, first.certificate))
    assert rotation.trusted == (first.certificate, second.certificate)
    assert rotation.bundle == first.certificate_pem + second.certificate_pem
    assert Rotation().trusted == ()


def test_the_data_of_a_state_is_that_state():
    both = stepped(stepped(Rotation(), NOON), DUE)
    changed = stepped(both, DUE, installed=OVERLAP)
    for state in (Rotation(), both, changed):
        assert from_data(to_data(state), NAME) == (state, ())


@pytest.mark.parametrize("part", ["tls.crt", "tls.key", "next.crt", "next.key", "old.crt", "old.until"])
@pytest.mark.parametrize("text", [b"", b"no PEM", b"\xff", b"x" * 100_000])
def test_a_part_that_cannot_be_read_is_left_out_and_named(part, text):
    both = stepped(stepped(Rotation(), NOON), DUE)
    state = replace(both, old=(made().certificate,), old_until=DUE)
    read, (fault,) = from_data({**to_data(state), part: text}, NAME)
    assert part in fault
    assert read != state
    assert set(read.trusted) <= set(state.trusted)


def test_a_key_of_another_authority_and_an_authority_for_another_name_are_left_out():
    data = to_data(Rotation(made()))
    assert from_data({**data, "tls.key": made().key_pem}, NAME)[0].current is None
    assert from_data(data, "other.vmguard-system.svc")[0].current is None
    assert from_data(to_data(Rotation(made(only=""))), NAME)[0].current


def test_a_constrained_authority_permits_one_dns_name_and_no_other_kind_of_name():
    constraints = made().certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName(NAME)]
    excluded = {type(each) for each in constraints.value.excluded_subtrees}
    assert excluded == {x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier}
    with pytest.raises(CertificateError, match="is an IP address"):
        made(only="10.0.0.1")


def test_every_authority_and_leaf_has_key_identifiers():
    authority = made()
    leaf = certificates_in(authority.issue([NAME], now=NOON, lifetime=DAY).chain_pem, "leaf")[0]
    for certificate in (authority.certificate, leaf):
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert issuer.key_identifier == x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key()).digest
