"""An authority and what it issues, before the TLS libraries that have to accept it."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certs import BACKDATE, Authority, CertificateError
from certs.pem import certificates_in, key_in
from tests.support.certificates import DAY, LONG_NAME, NOON, new_authority
from tests.support.examples import examples

NAME_LISTS = st.lists(
    st.one_of(
        st.from_regex(r"[a-z]([a-z0-9-]{0,60}[a-z0-9])?(\.[a-z]{2,9}){0,3}", fullmatch=True),
        st.ip_addresses().map(str),
    ),
    min_size=1,
    max_size=20,
    unique=True,
)


def test_the_authority_may_sign_servers_and_nothing_below_itself():
    extensions = new_authority().certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature


def test_a_leaf_may_be_a_tls_server_and_nothing_else():
    leaf = certificates_in(new_authority().issue(["a"], now=NOON, lifetime=DAY).chain_pem, "leaf")[0]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign


@pytest.mark.parametrize(
    ("names", "title"),
    [(["b.svc", "a.svc"], "b.svc"), (["::1", "a"], "::1"), (["a" * 63], "a" * 63), ([LONG_NAME], "")],
)
def test_a_leafs_common_name_is_its_first_name_if_it_fits(names: list[str], title: str):
    leaf = certificates_in(new_authority().issue(names, now=NOON, lifetime=DAY).chain_pem, "leaf")[0]
    assert "".join(str(attribute.value) for attribute in leaf.subject) == title
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical == (title == "")


@settings(max_examples=examples(40), deadline=None)
@given(NAME_LISTS)
def test_a_leaf_is_usable_for_the_requested_names_only(names: list[str]):
    root = new_authority()
    leaf = root.issue(names, now=NOON, lifetime=DAY)
    assert sorted(leaf.names) == sorted(names)
    assert leaf.why_unusable(now=NOON, names=reversed(names), authority_pem=root.certificate_pem) is None
    refusal = leaf.why_unusable(now=NOON, names=[*names, "not-asked.for"], authority_pem=root.certificate_pem)
    assert refusal is not None
    assert "lacks the names not-asked.for;" in str(refusal)


@settings(max_examples=examples(40), deadline=None)
@example(DAY, -BACKDATE)
@given(st.timedeltas(timedelta(seconds=1), 900 * DAY), st.timedeltas(-BACKDATE, 365 * DAY))
def test_a_leaf_never_lies_outside_its_authoritys_time(lifetime: timedelta, later: timedelta):
    root = new_authority()
    leaf = root.issue(["a"], now=NOON + later, lifetime=lifetime)
    assert root.certificate.not_valid_before_utc <= leaf.not_before <= NOON + later
    assert leaf.not_after <= root.certificate.not_valid_after_utc
    assert leaf.not_after <= NOON + later + lifetime


def test_times_are_the_same_whatever_the_time_zone_of_now():
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    leaf = new_authority(elsewhere).issue(["a"], now=elsewhere, lifetime=DAY)
    assert (leaf.not_before, leaf.not_after) == (NOON - BACKDATE, NOON + DAY)
    assert leaf.not_after.tzinfo is UTC


@pytest.mark.parametrize("days", [-1, 366])
def test_an_authority_outside_its_time_issues_nothing(days: int):
    with pytest.raises(CertificateError, match="Make a new authority"):
        new_authority().issue(["a"], now=NOON + days * DAY, lifetime=DAY)


def test_a_time_without_zone_is_refused():
    with pytest.raises(CertificateError, match="no time zone"):
        new_authority(NOON.replace(tzinfo=None))


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(milliseconds=999), -DAY])
def test_a_lifetime_of_nothing_is_refused(lifetime: timedelta):
    with pytest.raises(CertificateError, match="one second or longer"):
        new_authority(lifetime=lifetime)


@pytest.mark.parametrize("common_name", ["", "a" * 65])
def test_a_common_name_that_fits_no_certificate_is_refused(common_name: str):
    with pytest.raises(CertificateError, match="1 to 64 characters"):
        Authority.create(common_name, now=NOON, lifetime=DAY)


def test_keys_and_serials_are_new_each_time():
    root = new_authority()
    leaves = [certificates_in(root.issue(["a"], now=NOON, lifetime=DAY).chain_pem, "leaf")[0] for _ in range(20)]
    assert len({leaf.serial_number for leaf in leaves}) == 20
    identifiers = {
        leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.key_identifier for leaf in leaves
    }
    assert len(identifiers) == 20


def test_the_key_of_a_new_authority_matches_its_certificate_and_is_on_p256():
    root = new_authority()
    key = key_in(root.key_pem, "key")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == certificates_in(root.certificate_pem, "ca")[0].public_key()


def test_no_key_shows_in_what_is_printed():
    root = new_authority()
    leaf = root.issue(["a"], now=NOON, lifetime=DAY)
    assert "PRIVATE" not in repr(root) + repr(leaf)
    assert "key" not in repr(root)
