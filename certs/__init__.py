"""A small PKI: an authority, the leaves it issues, and stores that keep them.

It knows nothing of what its certificates serve. It never logs and has no clock: every question that depends on time
takes `now`, a datetime with a time zone, and what was done comes back as events.
"""

from certs.authority import BACKDATE, Authority
from certs.directory import AUTHORITY_FILE, CHAIN_FILE, KEY_FILE, DirectoryStore
from certs.errors import CertificateError
from certs.faults import CertificateFault, FaultKind
from certs.leaf import Leaf
from certs.selfsigned import AUTHORITY, LIFETIME, Created, Event, Replaced, Reused, ensure
from certs.store import Bundle, Contents, Part, Store

__all__ = [
    "AUTHORITY",
    "AUTHORITY_FILE",
    "BACKDATE",
    "CHAIN_FILE",
    "KEY_FILE",
    "LIFETIME",
    "Authority",
    "Bundle",
    "CertificateError",
    "CertificateFault",
    "Contents",
    "Created",
    "DirectoryStore",
    "Event",
    "FaultKind",
    "Leaf",
    "Part",
    "Replaced",
    "Reused",
    "Store",
    "ensure",
]
