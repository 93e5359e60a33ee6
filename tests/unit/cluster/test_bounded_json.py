"""JSON of any depth is decoded: what is nested too deeply becomes null, and the rest stays."""

import asyncio

import msgspec
import pytest

from webhook.cluster.bounded_json import DEEPEST, decoded, shallow


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ("{}", "{}"),
        (nested(DEEPEST), nested(DEEPEST)),
        (nested(DEEPEST + 1), "[" * DEEPEST + "null" + "]" * DEEPEST),
        (f'{{"a":{nested(20_000)},"b":1}}', f'{{"a":{"[" * (DEEPEST - 1)}null{"]" * (DEEPEST - 1)},"b":1}}'),
        ('{"a":"[[\\"]{\\\\","b":"' + "[" * 200 + '"}', '{"a":"[[\\"]{\\\\","b":"' + "[" * 200 + '"}'),
    ],
)
def test_only_what_is_too_deep_is_left_out(body, read):
    assert shallow(body.encode()).decode() == read


@pytest.mark.parametrize("body", ["[" * 20_000, nested(20_000) + "]", "[" * 20_000 + '"\\', nested(20_000)[:-1]])
def test_what_is_torn_cannot_be_read_however_deep_it_is(body):
    with pytest.raises(msgspec.DecodeError):
        asyncio.run(decoded(msgspec.json.Decoder(), body.encode()))
