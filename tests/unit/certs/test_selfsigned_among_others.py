"""What `ensure` finds and has not made, it uses if it will do, and otherwise leaves as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certs import (
    AUTHORITY_FILE,
    CHAIN_FILE,
    KEY_FILE,
    Authority,
    Bundle,
    CertificateError,
    DirectoryStore,
    Reused,
    ensure,
)

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ["localhost", "127.0.0.1", "::1"]
FILES = (AUTHORITY_FILE, CHAIN_FILE, KEY_FILE)


def files_of(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in FILES if (directory / name).exists()}


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def fill(directory: Path, bundle: Bundle) -> None:
    pems = (bundle.authority_pem, bundle.leaf.chain_pem, bundle.leaf.key_pem)
    for name, pem in zip(FILES, pems, strict=True):
        (directory / name).write_bytes(pem)


def others(*, now: datetime = NOON, names: list[str] = NAMES) -> Bundle:
    """A bundle by an authority that is not ours."""
    root = Authority.create("Example Corp CA", now=now, lifetime=90 * DAY)
    return Bundle(root.certificate_pem, root.issue(names, now=now, lifetime=90 * DAY))


def test_certificates_of_others_are_used_as_long_as_they_will_do(store: DirectoryStore):
    theirs = others()
    fill(store.path, theirs)
    for day in (0, 89):  # near its end too: who made it will renew it
        bundle, (event,) = ensure(store, NAMES, now=NOON + day * DAY)
        assert isinstance(event, Reused)
        assert bundle == theirs


@pytest.mark.parametrize(
    ("later", "names", "says"), [(91 * DAY, NAMES, "expired at"), (DAY, ["other.svc"], "lacks the names other.svc")]
)
def test_certificates_of_others_are_never_replaced(
    store: DirectoryStore, later: timedelta, names: list[str], says: str
):
    fill(store.path, others())
    before = files_of(store.path)
    with pytest.raises(CertificateError) as refusal:
        ensure(store, names, now=NOON + later)
    assert files_of(store.path) == before
    for part in (f"{store.path / 'ca.crt'} was issued by 'CN=Example Corp CA'", "nothing was changed", says, "move "):
        assert part in str(refusal.value)


@pytest.mark.parametrize("name", FILES)
def test_one_file_of_others_among_ours_is_never_replaced(store: DirectoryStore, name: str):
    ours, _ = ensure(store, NAMES, now=NOON)
    theirs = others()
    pem = dict(zip(FILES, (theirs.authority_pem, theirs.leaf.chain_pem, theirs.leaf.key_pem), strict=True))[name]
    for gone in ((), *([other] for other in FILES if other != name), [other for other in FILES if other != name]):
        fill(store.path, ours)
        (store.path / name).write_bytes(pem)
        for other in gone:
            (store.path / other).unlink()
        before = files_of(store.path)
        with pytest.raises(CertificateError, match=name):
            ensure(store, NAMES, now=NOON)
        assert files_of(store.path) == before


def test_an_authority_file_with_others_beside_ours_is_never_replaced(store: DirectoryStore):
    ours, _ = ensure(store, NAMES, now=NOON)
    (store.path / AUTHORITY_FILE).write_bytes(ours.authority_pem + others().authority_pem)
    assert isinstance(ensure(store, NAMES, now=NOON)[1][0], Reused)
    with pytest.raises(CertificateError, match=r"ca\.crt was issued by 'CN=Example Corp CA'"):
        ensure(store, NAMES, now=NOON + 400 * DAY)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_file_that_cannot_be_read_is_left_as_it_is_and_named(
    store: DirectoryStore, name: str, text: bytes, *, alone: bool
):
    if not alone:
        ensure(store, NAMES, now=NOON)
    (store.path / name).write_bytes(text)
    before = files_of(store.path)
    with pytest.raises(CertificateError, match=name):
        ensure(store, NAMES, now=NOON + 400 * DAY)
    assert files_of(store.path) == before
