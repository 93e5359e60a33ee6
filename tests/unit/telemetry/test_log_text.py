"""A log for people has one line for each event, whatever the fields hold."""

import io
import json

import pytest

from webhook.telemetry.log import Line, Log


class _Stream(io.BytesIO):
    """A stream that is a terminal or not."""

    def __init__(self, *, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


class _Answer(Line, frozen=True, gc=False):
    workload: str
    violations: list[str]


def _written(form, *, terminal, **fields):
    stream = _Stream(terminal=terminal)
    Log("info", stream, form).write("warning", "not watching", **fields)
    return stream.getvalue().decode()


@pytest.mark.parametrize(
    ("form", "terminal", "as_json"),
    [("json", True, True), ("json", False, True), ("text", False, False), ("auto", False, True), ("auto", True, False)],
)
def test_the_form_is_that_of_the_setting_or_of_the_stream(form, terminal, as_json):
    assert _written(form, terminal=terminal).startswith("{") is as_json


def test_a_line_has_time_level_message_and_the_fields_that_are_not_empty():
    line = _written("text", terminal=True, resource="pods", reason="HTTP 403: no", empty="", none=None, count=3)
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'WARNING not watching resource=pods reason="HTTP 403: no" count=3\n'


@pytest.mark.parametrize("value", ["a\nb", "\x1b[31mred", 'say "x"', "\u2028", "k=v", "\x00", "a b"])
def test_a_hostile_value_stays_on_its_line_and_in_its_quotes(value):
    line = _written("text", terminal=True, name=value)
    assert line.count("\n") == 1
    assert line.isascii()
    assert "\x1b" not in line
    assert json.loads(line.partition("name=")[2]) == value


def test_a_line_from_a_struct_has_the_same_form():
    stream = _Stream(terminal=True)
    log = Log("info", stream, "text")
    log.write_line(_Answer(log.stamp(), "info", "admission", "VMSingle mon/db", ["spec.hostPID: true"]))
    line = stream.getvalue().decode()
    assert line.partition("INFO    ")[2] == 'admission workload="VMSingle mon/db" violations=["spec.hostPID: true"]\n'
