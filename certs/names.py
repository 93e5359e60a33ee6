"""The names of a server: DNS names and IP addresses. It distinguishes the two, and never resolves one."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from cryptography import x509

from certs.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_LONGEST_DNS_NAME = 253


def subject_names(names: Sequence[str]) -> tuple[x509.DNSName | x509.IPAddress, ...]:
    """The names in the form of a certificate: lower case, in the given order, each once.

    Raises:
        CertificateError: one of them is neither a DNS name nor an IP address, or there are none.

    """
    if isinstance(names, str):  # a str is a sequence of str too, of one-letter host names
        raise CertificateError(f"The names of a certificate are a list; {names!r} is one string. Give [{names!r}].")
    if not names:
        raise CertificateError("A certificate needs at least one name: a DNS name or an IP address. None was given.")
    return tuple(dict.fromkeys(subject_name(name) for name in names))


def subject_name(name: str) -> x509.DNSName | x509.IPAddress:
    """An IP address if the name is written as one, a DNS name otherwise."""
    # An IPv6 zone ("fe80::1%eth0") has a meaning on one machine only, and a certificate has no place for it.
    if "%" not in name:
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            pass
    dns = name.lower()
    labels = dns.removeprefix("*.").split(".")
    # "10.0.0.256" has the form of a DNS name. Its certificate would never match: no top level domain is a number.
    allowed = name.isascii() and len(dns) <= _LONGEST_DNS_NAME and all(map(_LABEL.fullmatch, labels))
    if not allowed or labels[-1].isdecimal():
        raise CertificateError(
            f"{name!r} can be no name of a certificate. Allowed are DNS names (letters, digits, '-' and '.', at most "
            f"{_LONGEST_DNS_NAME} characters, '*' only as the whole first label; international names in their xn-- "
            "form) and IP addresses without port, brackets or zone. Correct the name."
        )
    return x509.DNSName(dns)


def names_in(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and IP addresses of the certificate's subject alternative names.

    It leaves out the common name, because clients have not used it for years.
    """
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *(dns.lower() for dns in san.get_values_for_type(x509.DNSName)),
        *(str(address) for address in san.get_values_for_type(x509.IPAddress)),
    )


def missing_names(wanted: Iterable[str], present: Sequence[str]) -> tuple[str, ...]:
    """The wanted names that a client would not find among the present ones, also with wildcards."""
    found = frozenset(present)
    asked = (subject_name(name) for name in wanted)
    return tuple(str(name.value) for name in asked if found.isdisjoint(_written_as(name)))


def _written_as(name: x509.DNSName | x509.IPAddress) -> tuple[str, ...]:
    """The entries that cover a name: itself, and for a DNS name the wildcard in place of its first label."""
    if isinstance(name, x509.IPAddress):
        return (str(name.value),)
    _, _, parent = name.value.partition(".")
    # OpenSSL takes no wildcard right below a top level domain, as in "*.localhost".
    return (name.value, f"*.{parent}") if "." in parent else (name.value,)
