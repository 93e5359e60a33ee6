"""The phases of a rotation, and the state as the data of a Secret."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from certs import OVERLAP, Authority, CertificateError, Rotation, from_data, heal, step, to_data
from certs.pem import certificates_in
from certs.rotation import CONFIRMED, RETIREMENT
from tests.support.certificates import DAY, NOON

NAME = "vmguard.vmguard-system.svc"
DUE = NOON + 365 * DAY * 2 / 3


def made(now=NOON, only=NAME):
    return Authority.create("a CA", now=now, lifetime=365 * DAY, only=only)


def stepped(rotation, now, *, installed=None, unchanged=timedelta(0)):
    return step(rotation, now=now, installed=installed, unchanged=unchanged, create=lambda: made(now))


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
    assert heal(both, both, both.trusted, now=DUE, damaged=False) == both


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
