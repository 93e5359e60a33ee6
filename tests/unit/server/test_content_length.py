"""Every form of a length that a client can declare, read by the parser and by vmguard."""

import json

import pytest

from tests.support.admission_reviews import pod_review
from tests.support.asgi import admission
from tests.support.sample_pods import vmsingle
from tests.support.wire import sent
from webhook.server.connection import Connection

POD, OBJECTS = vmsingle()
REVIEW = json.dumps(pod_review(POD)).encode()
SIZE = b"%d" % len(REVIEW)
HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

LENGTHS = {
    "plain": (200, SIZE),
    "white space around it": (200, b" \t" + SIZE + b" \t"),
    "some zeros before it": (200, b"000" + SIZE),
    "5,000 zeros before it": (400, b"0" * 5000 + SIZE),
    "5,000 digits": (400, b"9" * 5000),
    "the most that the parser takes": (413, b"18446744073709551615"),
    "one more than that": (400, b"18446744073709551616"),
    "a plus sign": (400, b"+" + SIZE),
    "a minus sign": (400, b"-" + SIZE),
    "an underscore": (400, b"1_0"),
    "hexadecimal digits": (400, b"0x10"),
    "Arabic digits": (400, "٣".encode()),
    "a superscript digit": (400, b"\xb2"),
    "nothing": (400, b""),
    "a list": (400, SIZE + b", " + SIZE),
    "two numbers": (400, SIZE + b" " + SIZE),
    "two headers that agree": (400, SIZE + b"\r\nContent-Length: " + SIZE),
    "two headers that differ": (400, SIZE + b"\r\nContent-Length: 1"),
}

CHUNK_SIZES = {
    "plain": (200, b"%x" % len(REVIEW)),
    "5,000 zeros before it": (200, b"0" * 5000 + b"%x" % len(REVIEW)),
    "5,000 digits": (400, b"f" * 5000),
    "a plus sign": (400, b"+1"),
    "a minus sign": (400, b"-1"),
    "an underscore": (400, b"1_0"),
    "Arabic digits": (400, "٣".encode()),
    "nothing": (400, b""),
}


def _statuses(*parts):
    app = admission(OBJECTS)
    found = sent(Connection, app.app, parts).statuses
    assert not [line for line in app.lines() if line["level"] == "error"]
    return found


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("extra", [b"", b"Expect: 100-continue\r\n"], ids=["", "as an ASGI request"])
def test_a_content_length_is_a_number_or_the_fault_of_the_client(length, extra):
    status, value = LENGTHS[length]
    found = _statuses(HEAD + extra + b"Content-Length: " + value + b"\r\n\r\n" + REVIEW)
    assert [each for each in found if each != 100] == [status]


@pytest.mark.parametrize("size", CHUNK_SIZES)
def test_a_chunk_size_is_a_number_or_the_fault_of_the_client(size):
    status, value = CHUNK_SIZES[size]
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert _statuses(head + value + b"\r\n" + REVIEW + b"\r\n0\r\n\r\n") == [status]
