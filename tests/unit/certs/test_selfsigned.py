"""A self-signed bundle is there when it is needed, is made only when needed, and takes no one else's place."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import (
    AUTHORITY_FILE,
    CHAIN_FILE,
    KEY_FILE,
    CertificateError,
    Created,
    DirectoryStore,
    FaultKind,
    Replaced,
    Reused,
    ensure,
)
from certs.pem import certificates_in
from tests.support.certificates import DAY, FILES, NAMES, NOON, Handshake
from tests.support.examples import examples


def states_of(directory: Path) -> list[tuple[int, int]]:
    states = [(directory / name).stat() for name in FILES]
    return [(state.st_ino, state.st_mtime_ns) for state in states]


def test_it_is_made_when_there_is_nothing_and_serves_a_strict_client(
    store: DirectoryStore, now: datetime, handshake: Handshake
):
    bundle, events = ensure(store, NAMES, now=now)
    assert events == (Created(now + 365 * DAY),)
    assert store.load() == bundle
    for name in NAMES:
        assert handshake(bundle.leaf, bundle.authority_pem, name) == ""


def test_it_is_reused_while_it_will_do_and_no_file_is_touched(store: DirectoryStore):
    made, _ = ensure(store, NAMES, now=NOON)
    before = states_of(store.path)
    for names in (NAMES, ["::1"], ["LOCALHOST", "0:0::1"]):
        assert ensure(store, names, now=NOON + DAY) == (made, (Reused(NOON + 365 * DAY),))
    assert states_of(store.path) == before


@pytest.mark.parametrize("lifetime", [timedelta(minutes=3), 30 * DAY, 365 * DAY])
def test_it_is_replaced_in_the_last_third_of_its_lifetime_and_not_before(store: DirectoryStore, lifetime: timedelta):
    second = timedelta(seconds=1)
    ensure(store, NAMES, now=NOON, lifetime=lifetime)
    late = NOON + lifetime * 2 / 3
    _, (early,) = ensure(store, NAMES, now=late - second, lifetime=lifetime)
    _, (event,) = ensure(store, NAMES, now=late + second, lifetime=lifetime)
    assert isinstance(early, Reused)
    assert isinstance(event, Replaced)
    assert event.reason.kind is FaultKind.NEAR_EXPIRY
    assert event.not_after == late + second + lifetime


@pytest.mark.parametrize(
    ("later", "names", "fault"),
    [
        (366 * DAY, NAMES, FaultKind.EXPIRED),
        (-DAY, NAMES, FaultKind.NOT_YET_VALID),
        (DAY, [*NAMES, "vmguard.ns.svc"], FaultKind.NAME_MISSING),
    ],
)
def test_it_is_replaced_when_it_will_not_do(
    store: DirectoryStore, later: timedelta, names: list[str], fault: FaultKind
):
    old, _ = ensure(store, NAMES, now=NOON)
    new, (event,) = ensure(store, names, now=NOON + later)
    assert isinstance(event, Replaced)
    assert event.reason.kind is fault
    assert new.authority_pem != old.authority_pem
    assert new.why_unusable(now=NOON + later, names=names) is None
    assert store.load() == new


@pytest.mark.parametrize("gone", [[KEY_FILE], [AUTHORITY_FILE], [AUTHORITY_FILE, KEY_FILE], [CHAIN_FILE, KEY_FILE]])
def test_it_is_completed_when_files_of_ours_are_gone(store: DirectoryStore, gone: list[str]):
    ensure(store, NAMES, now=NOON)
    for name in gone:
        (store.path / name).unlink()
    bundle, (event,) = ensure(store, NAMES, now=NOON)
    assert isinstance(event, Replaced)
    assert event.reason.kind is FaultKind.INCOMPLETE
    assert all(str(store.path / name) in str(event.reason) for name in gone)
    assert store.load() == bundle


def test_an_own_ca_that_did_not_sign_the_leaf_is_replaced(store: DirectoryStore):
    ensure(store, NAMES, now=NOON)
    other, _ = ensure(DirectoryStore(store.path / "other"), NAMES, now=NOON)
    (store.path / AUTHORITY_FILE).write_bytes(other.authority_pem)
    _, (event,) = ensure(store, NAMES, now=NOON)
    assert isinstance(event, Replaced)
    assert event.reason.kind is FaultKind.NOT_SIGNED


def test_nothing_on_the_disk_can_sign(store: DirectoryStore):
    bundle, _ = ensure(store, NAMES, now=NOON)
    authority = certificates_in(bundle.authority_pem, "ca")[0].public_key()
    texts = [path.read_bytes() for path in store.path.rglob("*") if path.is_file()]
    keys = [load_pem_private_key(text, None).public_key() for text in texts if b"PRIVATE" in text]
    assert len(keys) == 1
    assert authority not in keys


def test_no_error_shows_a_key(store: DirectoryStore):
    bundle, _ = ensure(store, NAMES, now=NOON)
    lines = bundle.leaf.key_pem.decode().splitlines()
    (store.path / KEY_FILE).write_text("\n".join([*lines[:2], *lines[3:]]))
    with pytest.raises(CertificateError) as refusal:
        ensure(store, NAMES, now=NOON)
    assert lines[1] not in str(refusal.value) + repr(refusal.value.__cause__) + repr(store.contents())


def test_wrong_names_are_reported_even_if_nothing_must_be_made(store: DirectoryStore):
    ensure(store, NAMES, now=NOON)
    for names in ([], ["no name"]):
        with pytest.raises(CertificateError):
            ensure(store, names, now=NOON)


@settings(max_examples=examples(25), deadline=None)
@given(st.lists(st.sampled_from(["a", "b.c", "10.0.0.1", "::1"]), min_size=1, max_size=6).map(tuple), st.data())
def test_asking_again_for_any_of_the_names_changes_nothing(names: tuple[str, ...], data: st.DataObject):
    with TemporaryDirectory() as directory:
        store = DirectoryStore(Path(directory))
        made, _ = ensure(store, names, now=NOON)
        again = data.draw(st.lists(st.sampled_from(names), min_size=1))
        assert ensure(store, again, now=NOON) == (made, (Reused(made.leaf.not_after),))
        assert store.load() == made
