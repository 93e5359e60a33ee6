"""The parts of a state in a Secret: what is written, and what may be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from certs import MOST_OLD, Authority, Rotation, from_data, to_data
from tests.support.certificates import DAY, NOON

NAME = "vmguard.vmguard-system.svc"


def made(only=NAME):
    return Authority.create("a CA", now=NOON, lifetime=365 * DAY, only=only)


CURRENT, NEXT = made(), made()
OLD = tuple(made().certificate for _ in range(MOST_OLD + 1))


def test_each_part_is_there_for_what_there_is():
    assert to_data(Rotation()) == {"ca.crt": b""}
    one = Rotation(CURRENT)
    assert to_data(one) == {
        "ca.crt": CURRENT.certificate_pem,
        "tls.crt": CURRENT.certificate_pem,
        "tls.key": CURRENT.key_pem,
    }
    whole = Rotation(CURRENT, NEXT, OLD[:1], NOON)
    data = to_data(whole)
    assert (data["next.crt"], data["next.key"]) == (NEXT.certificate_pem, NEXT.key_pem)
    assert data["old.until"] == b"2030-01-01T12:00:00+00:00"
    assert data["ca.crt"] == whole.bundle


def test_a_time_of_another_zone_is_written_as_utc_and_one_without_a_zone_is_read_as_utc():
    there = datetime(2030, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    data = to_data(Rotation(CURRENT, None, OLD[:1], there))
    assert data["old.until"] == b"2030-01-01T12:00:00+00:00"
    for text in (b"2030-01-01T12:00:00", b"2030-01-01T14:00:00+02:00"):
        state, faults = from_data({**data, "old.until": text}, NAME)
        assert (state.old_until, faults) == (NOON, ())
        assert state.old_until.tzinfo
        assert state.old_until.astimezone(UTC) == NOON


def test_what_is_written_for_people_is_not_read():
    data = {**to_data(Rotation(CURRENT)), "ca.crt": b"no PEM", "old.until": b"never", "else": b"x"}
    assert from_data(data, NAME) == (Rotation(CURRENT), ())


@pytest.mark.parametrize("part", ["tls.crt", "tls.key", "next.crt", "next.key"])
def test_a_part_without_its_other_half_is_left_out_and_named(part):
    data = to_data(Rotation(CURRENT, NEXT))
    del data[part]
    state, (fault,) = from_data(data, NAME)
    assert part in fault
    assert (state.current is None) == part.startswith("tls")
    assert (state.next is None) == part.startswith("next")


def test_old_certificates_beyond_the_most_are_not_read():
    state, faults = from_data(to_data(Rotation(CURRENT, None, OLD, NOON)), NAME)
    assert (state.old, faults) == (OLD[:MOST_OLD], ())


def test_a_part_is_read_up_to_its_bound():
    for size, fits in ((64 * 1024, True), (64 * 1024 + 1, False)):
        padded = CURRENT.certificate_pem + b"\n" * (size - len(CURRENT.certificate_pem))
        state, faults = from_data({**to_data(Rotation(CURRENT)), "tls.crt": padded}, NAME)
        assert (state.current == CURRENT) == fits
        assert len(faults) == (not fits)


def test_an_authority_for_another_name_is_left_out_and_named():
    for part, rotation in (
        ("tls.crt", Rotation(made(only="other.svc"))),
        ("next.crt", Rotation(CURRENT, made("o.svc"))),
    ):
        state, (fault,) = from_data(to_data(rotation), NAME)
        assert fault == f"The authority in {part} may not sign for {NAME}."
        assert (state.current, state.next) == ((None, None) if part == "tls.crt" else (CURRENT, None))
