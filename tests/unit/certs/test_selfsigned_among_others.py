"""What `ensure` finds and has not made, it uses if it will do, and otherwise leaves as it is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from certs import AUTHORITY_FILE, CertificateError, DirectoryStore, Reused, ensure
from tests.support.certificates import DAY, FILES, NAMES, NOON, files_in, fill_with, foreign_bundle


def test_certificates_of_others_are_used_as_long_as_they_will_do(store: DirectoryStore):
    theirs = foreign_bundle()
    fill_with(store.path, theirs)
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
    fill_with(store.path, foreign_bundle())
    before = files_in(store.path)
    with pytest.raises(CertificateError) as refusal:
        ensure(store, names, now=NOON + later)
    assert files_in(store.path) == before
    for part in (f"{store.path / 'ca.crt'} was issued by 'CN=Example Corp CA'", "nothing was changed", says, "move "):
        assert part in str(refusal.value)


@pytest.mark.parametrize("name", FILES)
def test_one_file_of_others_among_ours_is_never_replaced(store: DirectoryStore, name: str):
    ours, _ = ensure(store, NAMES, now=NOON)
    theirs = foreign_bundle()
    pem = dict(zip(FILES, (theirs.authority_pem, theirs.leaf.chain_pem, theirs.leaf.key_pem), strict=True))[name]
    for gone in ((), *([other] for other in FILES if other != name), [other for other in FILES if other != name]):
        fill_with(store.path, ours)
        (store.path / name).write_bytes(pem)
        for other in gone:
            (store.path / other).unlink()
        before = files_in(store.path)
        with pytest.raises(CertificateError, match=name):
            ensure(store, NAMES, now=NOON)
        assert files_in(store.path) == before


def test_an_authority_file_with_others_beside_ours_is_never_replaced(store: DirectoryStore):
    ours, _ = ensure(store, NAMES, now=NOON)
    (store.path / AUTHORITY_FILE).write_bytes(ours.authority_pem + foreign_bundle().authority_pem)
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
    before = files_in(store.path)
    with pytest.raises(CertificateError, match=name):
        ensure(store, NAMES, now=NOON + 400 * DAY)
    assert files_in(store.path) == before
