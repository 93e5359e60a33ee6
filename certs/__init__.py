"""A small PKI: an authority, the leaves that it issues, and stores for them.

It does not know what its certificates serve. It never logs and has no clock: every function that depends on time takes
`now`, a datetime with a time zone. It returns its actions as events.
"""

from certs.authority import AUTHORITY_NAME, BACKDATE, Authority, authority_name
from certs.directory import AUTHORITY_FILE, CHAIN_FILE, KEY_FILE, DirectoryStore
from certs.errors import CertificateError
from certs.faults import CertificateFault, FaultKind
from certs.issuing import Installed, Issued, next_leaf
from certs.leaf import Leaf
from certs.pem import certificates_in
from certs.regular_file import read_regular
from certs.rotation import AUTHORITY_LIFETIME, LEAF_LIFETIME, MOST_OLD, OVERLAP, SETTLED, Rotation, heal, step
from certs.rotation_data import from_data, to_data
from certs.selfsigned import AUTHORITY, LIFETIME, Created, Event, Replaced, Reused, ensure
from certs.store import Bundle, Contents, Part, Store

__all__ = [
    "AUTHORITY",
    "AUTHORITY_FILE",
    "AUTHORITY_LIFETIME",
    "AUTHORITY_NAME",
    "BACKDATE",
    "CHAIN_FILE",
    "KEY_FILE",
    "LEAF_LIFETIME",
    "LIFETIME",
    "MOST_OLD",
    "OVERLAP",
    "SETTLED",
    "Authority",
    "Bundle",
    "CertificateError",
    "CertificateFault",
    "Contents",
    "Created",
    "DirectoryStore",
    "Event",
    "FaultKind",
    "Installed",
    "Issued",
    "Leaf",
    "Part",
    "Replaced",
    "Reused",
    "Rotation",
    "Store",
    "authority_name",
    "certificates_in",
    "ensure",
    "from_data",
    "heal",
    "next_leaf",
    "read_regular",
    "step",
    "to_data",
]
