"""The names of a certificate: their kinds, refused names, and wildcards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from certs import CertificateError
from certs.names import missing_names, subject_name, subject_names

if TYPE_CHECKING:
    import ipaddress

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
DNS_NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join).filter(lambda name: not name[-1].isdigit())


@given(st.ip_addresses())
def test_every_ip_address_becomes_an_ip_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address):
    assert subject_name(str(address)) == x509.IPAddress(address)
    assert subject_name(address.exploded.upper()) == x509.IPAddress(address)


@given(DNS_NAMES)
def test_every_dns_name_stays_itself_in_lower_case(name: str):
    assert subject_name(name.upper()) == x509.DNSName(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "a..b",
            "a.",
            "-a",
            "a-",
            "a b",
            "a_b",
            "localhost\n",
            "bücher.example",
            "\N{KELVIN SIGN}8s.example",
        ),
        *("*", "*.*.example", "a.*.example", "a*.example"),
        *("[::1]", "localhost:443", "fe80::1%eth0", "10.0.0.0/8", "10.0.0.256", "127.1", "https://localhost"),
        *("a" * 64, ".".join(["a" * 50] * 6)),
    ],
)
def test_what_is_no_name_is_refused_and_quoted(name: str):
    with pytest.raises(CertificateError) as refusal:
        subject_name(name)
    assert repr(name) in str(refusal.value)
    assert "Allowed are DNS names" in str(refusal.value)


def test_one_string_in_place_of_a_list_is_refused():
    with pytest.raises(CertificateError, match=r"Give \['localhost'\]"):
        subject_names("localhost")


def test_no_names_are_refused():
    with pytest.raises(CertificateError, match="at least one name"):
        subject_names([])


def test_names_keep_their_order_and_lose_their_repetitions():
    assert [str(name.value) for name in subject_names(["b", "::1", "B", "a", "0:0::1"])] == ["b", "::1", "a"]


def test_a_wildcard_covers_one_label_and_no_more():
    present = ("*.ns.svc", "10.0.0.1")
    assert missing_names(["a.ns.svc", "B.NS.SVC", "*.ns.svc", "10.0.0.1"], present) == ()
    assert missing_names(["ns.svc", "a.b.ns.svc", "10.0.0.2"], present) == ("ns.svc", "a.b.ns.svc", "10.0.0.2")


def test_a_wildcard_below_a_top_level_domain_covers_nothing_as_in_openssl():
    assert missing_names(["a.localhost"], ("*.localhost",)) == ("a.localhost",)
