"""Each setting has its names and values, and a wrong one stops the start with one line."""

import pytest

from webhook.server.admission_handler import time_allowed
from webhook.settings import Settings, SettingsError, parse_address


@pytest.mark.parametrize("text", ["true", "1", "YES", " True "])
def test_a_boolean_may_be_written_in_any_of_its_ways(text):
    assert Settings.from_environment({"VMGUARD_DISABLE_AUTOMOUNT": text}).disable_automount is True


def test_empty_is_unset():
    assert Settings.from_environment({"VM_ENABLESTRICTSECURITY": " ", "VMGUARD_MODE": ""}).strict_security is True


@pytest.mark.parametrize("name", ["ENABLESTRICTSECURITY", "EnableStrictSecurity", "vm_enablestrictsecurity"])
def test_strict_security_is_read_under_each_name_in_any_case(name):
    assert Settings.from_environment({name: "no"}).strict_security is False


def test_two_names_that_agree_are_fine():
    said = {"VM_ENABLESTRICTSECURITY": "0", "ENABLESTRICTSECURITY": "false"}
    assert Settings.from_environment(said).strict_security is False


def test_two_names_that_disagree_stop_the_start():
    with pytest.raises(SettingsError, match="two names of one setting and disagree: unset one of them"):
        Settings.from_environment({"VM_ENABLESTRICTSECURITY": "1", "ENABLESTRICTSECURITY": "no"})


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("VMGUARD_DRY_RUN", "on", "true, false, 1, 0, yes or no"),
        ("VMGUARD_ENFORCE", "strict", "off, warn or deny"),
        ("VMGUARD_LISTEN", "host", "HOST:PORT, [IPV6]:PORT or :PORT with a port from 0 to 65535"),
        ("VMGUARD_SHUTDOWN_DELAY", "-1", "seconds or a duration, such as 5, 5s or 1m30s"),
        ("VMGUARD_SHUTDOWN_DELAY", "nan", "seconds or a duration, such as 5, 5s or 1m30s"),
        ("VMGUARD_SHUTDOWN_DELAY", "inf", "seconds or a duration, such as 5, 5s or 1m30s"),
        ("VMGUARD_KUBE_API_QPS", "0", "a number above 0"),
        ("VMGUARD_KUBE_API_QPS", "many", "a number above 0"),
        ("VMGUARD_KUBE_API_BURST", "1.5", "a whole number above 0"),
        ("VMGUARD_KUBE_API_BURST", "0", "a whole number above 0"),
    ],
)
def test_a_wrong_value_is_answered_with_its_variable_and_what_is_allowed(name, text, allowed):
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({name: text})
    assert str(refused.value) == f"{name}={text!r} is not allowed: write {allowed}"


LONG = "0" * 98_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("VMGUARD_ENFORCE", LONG),
        ("VMGUARD_LISTEN", f":{LONG}1"),
        ("VMGUARD_LISTEN", f"{LONG}:x"),
        ("VMGUARD_KUBE_API_QPS", LONG),
        ("VMGUARD_KUBE_API_BURST", f"9{LONG}"),
        ("VMGUARD_SHUTDOWN_DELAY", f"-1{LONG}"),
        ("WATCH_NAMESPACE", LONG),
        ("POD_NAMESPACE", LONG),
    ],
)
def test_a_long_wrong_value_is_not_repeated_whole(name, text):
    with pytest.raises(SettingsError, match=rf"^{name}='.*…' is not allowed: write [a-zH]") as refused:
        Settings.from_environment({name: text})
    assert len(str(refused.value)) < 300


def test_each_kind_of_value_is_read_into_its_type():
    read = Settings.from_environment(
        {
            "WATCH_NAMESPACE": " a, b,",
            "VMGUARD_MODE": " Audit ",
            "VMGUARD_SHUTDOWN_DELAY": "0.5",
            "VMGUARD_KUBE_API_BURST": "7",
        }
    )
    assert (read.watch_namespaces, read.mode, read.shutdown_delay, read.kube_api_burst) == (("a", "b"), "audit", 0.5, 7)


def test_an_option_beats_the_environment():
    assert Settings.from_environment({"VMGUARD_MODE": "audit"}, VMGUARD_MODE="enforce").mode == "enforce"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8443", ("", 8443)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:1", ("::1", 1)),
        ("host:65535", ("host", 65535)),
    ],
)
def test_an_address_is_host_and_port(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["8443", "host", "::1:80", ":65536", ":x", ":-1", ""])
def test_anything_else_gets_an_error_with_what_is_allowed(text):
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        parse_address(text)


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        (b"", 9.0),
        (b"timeout=10s", 9.0),
        (b"timeout=1s", 0.8),
        (b"timeout=500ms", 0.3),
        (b"timeout=1m", 27.0),
        (b"timeout=1.5s", 1.3),
        (b"timeout=100ms", 0.0),
        (b"timeout=nonsense", 9.0),
        (b"timeout=10", 9.0),
        (b"timeout=%ff", 9.0),
    ],
)
def test_the_deadline_leaves_time_to_answer(query, seconds):
    assert time_allowed(query) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("0", 0), ("2.5", 2.5), ("5s", 5), (" 1m30s ", 90), ("500ms", 0.5), ("2h", 7200), ("1.5m", 90)],
)
def test_a_duration_is_a_number_of_seconds_or_has_units(text, seconds):
    assert Settings.from_environment({"VMGUARD_SHUTDOWN_DELAY": text}).shutdown_delay == seconds


@pytest.mark.parametrize(
    "text", ["5 s", "s", "5S", "1d", "-5s", "5s5", "1m-3s", "1..5s", "nan", "inf", "9" * 400 + "h"]
)
def test_anything_else_is_no_duration(text):
    with pytest.raises(SettingsError, match="such as 5, 5s or 1m30s"):
        Settings.from_environment({"VMGUARD_SHUTDOWN_DELAY": text})
