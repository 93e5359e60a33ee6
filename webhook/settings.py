"""Every setting, once: field, type, environment name, how its text is read, default, meaning.

vmguard reads the environment at its start and never again. A wrong value stops the start with one line that names the
variable, the value and what is allowed. An empty variable counts as unset.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args

from webhook.name_forms import is_namespace, is_subdomain
from webhook.text import quoted

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class SettingsError(ValueError):
    """A wrong setting; the text is one line for the person who must correct it."""


class _NotAllowedError(ValueError):
    """A value that a setting does not take; the text says what it takes."""


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise _NotAllowedError("true, false, 1, 0, yes or no") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


def _namespaces(text: str) -> tuple[str, ...]:
    names = _names(text)
    if not all(map(is_namespace, names)):
        raise _NotAllowedError("names of namespaces: lower-case letters, digits and -, at most 63 characters each")
    return names


def _namespace(text: str) -> str:
    if not is_namespace(text.strip()):
        raise _NotAllowedError("the name of a namespace: lower-case letters, digits and -, at most 63 characters")
    return text.strip()


def _service(text: str) -> str:
    if not is_namespace(text.strip()) or text.strip()[0].isdigit():
        raise _NotAllowedError("the name of a Service: lower-case letters, digits and -, at most 63, a letter first")
    return text.strip()


def _object_name(text: str) -> str:
    if not is_subdomain(text.strip()):
        raise _NotAllowedError("the name of an object: lower-case letters, digits, - and ., at most 253 characters")
    return text.strip()


def _one_of(*values: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        value = text.strip().lower()
        if value not in values:
            raise _NotAllowedError(f"{', '.join(values[:-1])} or {values[-1]}")
        return value

    return read


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:h|ms|m|s))+")
_PART = re.compile(r"([0-9.]+)(h|ms|m|s)")


def duration(text: str) -> float:
    """Seconds of a duration: a number of seconds, or parts with units, such as `5`, `5s`, `1m30s` or `500ms`.

    Raises:
        ValueError: no such duration; the message says what is allowed.

    """
    text = text.strip()
    parts = _PART.findall(text) if _DURATION.fullmatch(text) else None
    value = sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else _number(text)
    if not 0 <= value < math.inf:
        raise _NotAllowedError("seconds or a duration, such as 5, 5s or 1m30s")
    return value


def _rate(text: str) -> float:
    value = _number(text)
    if not value > 0:
        raise _NotAllowedError("a number above 0")
    return value


def _count(text: str) -> int:
    value = _number(text)
    if not (value > 0 and value.is_integer()):
        raise _NotAllowedError("a whole number above 0")
    return int(value)


def _address(text: str) -> str:
    parse_address(text)
    return text


def parse_address(text: str) -> tuple[str, int]:
    """`host, port` of `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (host "", which is every address of both families).

    Raises:
        ValueError: not such an address; the message says what is allowed.

    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65535:
        raise _NotAllowedError("HOST:PORT, [IPV6]:PORT or :PORT with a port from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise _NotAllowedError("an IPv6 address in brackets, as in [::1]:8443")
    return host, int(port)


@dataclass(frozen=True, slots=True)
class Variable:
    """What the environment has to do with a field of `Settings`: its variable, how to read its text, and its meaning.

    `read` raises ValueError, which says what is allowed. `meaning` is the text of the documentation.
    """

    name: str
    read: Callable[[str], object]
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings after defaults, environment and options."""

    strict_security: Annotated[
        bool,
        Variable(
            "VM_ENABLESTRICTSECURITY",
            _boolean,
            "strict security context where the resource sets neither `securityContext` nor `useStrictSecurity`",
        ),
    ] = True
    psp_autocreate: Annotated[
        bool, Variable("VM_PSPAUTOCREATEENABLED", _boolean, "the leader makes default PodSecurityPolicies")
    ] = False
    watch_namespaces: Annotated[
        tuple[str, ...],
        Variable(
            "WATCH_NAMESPACE",
            _namespaces,
            "comma-separated list of the namespaces in which vmguard decides; none: all namespaces",
        ),
    ] = ()
    mode: Annotated[
        Literal["enforce", "audit"],
        Variable(
            "VMGUARD_MODE",
            _one_of("enforce", "audit"),
            "`enforce` patches and denies; `audit` only reports what vmguard would do, and warns of a denial",
        ),
    ] = "enforce"
    enforce: Annotated[
        Literal["off", "warn", "deny"],
        Variable(
            "VMGUARD_ENFORCE",
            _one_of("off", "warn", "deny"),
            "what vmguard does with a pod that is not compliant after filling: `off` only counts it, `warn` warns,"
            " `deny` denies it",
        ),
    ] = "warn"
    unknown: Annotated[
        Literal["refuse", "allow"],
        Variable(
            "VMGUARD_UNKNOWN",
            _one_of("refuse", "allow"),
            "a pod whose resource vmguard cannot find out: `refuse` answers HTTP 500, `allow` admits it unchanged,"
            " also where deny is enforced",
        ),
    ] = "refuse"
    psp_bindable: Annotated[
        tuple[str, ...],
        Variable(
            "VMGUARD_PSP_BINDABLE",
            _names,
            "comma-separated list of PodSecurityPolicies that the leader may bind for a resource",
        ),
    ] = ()
    harden_sidecars: Annotated[
        bool,
        Variable(
            "VMGUARD_HARDEN_SIDECARS", _boolean, "also fill and judge the containers that a user adds to a resource"
        ),
    ] = False
    disable_automount: Annotated[
        bool,
        Variable(
            "VMGUARD_DISABLE_AUTOMOUNT",
            _boolean,
            "value of `disableAutomountServiceAccountToken` if the resource does not set it",
        ),
    ] = False
    run_as: Annotated[
        Literal["65534", "platform"],
        Variable(
            "VMGUARD_RUN_AS",
            _one_of("65534", "platform"),
            "user and group ids that vmguard fills in; `platform`: none, because the platform assigns them",
        ),
    ] = "65534"
    events: Annotated[
        bool,
        Variable("VMGUARD_EVENTS", _boolean, "write events on the resources of pods that vmguard denies or reports"),
    ] = True
    dry_run: Annotated[bool, Variable("VMGUARD_DRY_RUN", _boolean, "serve /dry-run, /docs and /openapi.json")] = True
    listen: Annotated[str, Variable("VMGUARD_LISTEN", _address, "address of the webhook listener (TLS)")] = ":8443"
    ops_listen: Annotated[
        str, Variable("VMGUARD_OPS_LISTEN", _address, "address of the operations listener (plain HTTP)")
    ] = ":8080"
    cert_dir: Annotated[
        str,
        Variable(
            "VMGUARD_CERT_DIR",
            str,
            "directory with tls.crt and tls.key, read again every 10 s; none: vmguard makes its certificates",
        ),
    ] = ""
    client_ca_file: Annotated[
        str,
        Variable(
            "VMGUARD_CLIENT_CA_FILE",
            str,
            "CA certificates (PEM); a client that sends reviews needs a certificate that one of them has signed",
        ),
    ] = ""
    client_names: Annotated[
        tuple[str, ...],
        Variable(
            "VMGUARD_CLIENT_NAMES",
            _names,
            "comma-separated list of names; the client's certificate must have one of them as common name or SAN",
        ),
    ] = ()
    service: Annotated[
        str,
        Variable(
            "VMGUARD_SERVICE",
            _service,
            "name of vmguard's Service, for its certificate; NAME-ca is the Secret of the CA",
        ),
    ] = "vmguard"
    webhook_configuration: Annotated[
        str,
        Variable("VMGUARD_WEBHOOK_CONFIGURATION", _object_name, "name of both webhook configurations"),
    ] = "vmguard"
    lease: Annotated[str, Variable("VMGUARD_LEASE", _object_name, "name of the Lease that elects the leader")] = (
        "vmguard"
    )
    shutdown_delay: Annotated[
        float,
        Variable(
            "VMGUARD_SHUTDOWN_DELAY",
            duration,
            "how long vmguard still serves after the signal to end; it is not ready in this time",
        ),
    ] = 5
    namespace: Annotated[
        str,
        Variable(
            "POD_NAMESPACE",
            _namespace,
            "namespace of Lease, Service and Secret; none: that of the pod, or of the kubeconfig's context",
        ),
    ] = ""
    kube_api_qps: Annotated[
        float,
        Variable("VMGUARD_KUBE_API_QPS", _rate, "most requests a second to the API server for watches and lookups"),
    ] = 50
    kube_api_burst: Annotated[
        int,
        Variable("VMGUARD_KUBE_API_BURST", _count, "most requests at once for watches and lookups, after a quiet time"),
    ] = 100
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Variable(
            "VMGUARD_LOG_LEVEL",
            _one_of("debug", "info", "warning", "error"),
            "least severe level that vmguard logs",
        ),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "text"],
        Variable(
            "VMGUARD_LOG_FORMAT",
            _one_of("auto", "json", "text"),
            "`json`: one object on each line; `text`: for people; `auto`: text on a terminal, else JSON",
        ),
    ] = "auto"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **overrides: str) -> "Settings":
        """Settings from environment variables; `overrides` are options by environment name and have precedence.

        Raises:
            SettingsError: a value that is not allowed, or two names of one setting that disagree.

        """
        texts = {**environ, **_strict_security(environ), **overrides}
        values: dict[str, Any] = {
            field: _value(setting.name, setting.read, texts[setting.name])
            for field, setting in SETTINGS.items()
            if texts.get(setting.name, "").strip()
        }
        if values.get("client_names") and not values.get("client_ca_file"):
            raise SettingsError("VMGUARD_CLIENT_NAMES needs VMGUARD_CLIENT_CA_FILE: set it, or unset the names")
        return cls(**values)


SETTINGS: Mapping[str, Variable] = {field.name: get_args(field.type)[1] for field in fields(Settings)}
"""By field."""

STRICT_SECURITY_NAMES = ("VM_ENABLESTRICTSECURITY", "ENABLESTRICTSECURITY")
"""Both are read in any case: the operator's own documentation writes them in several."""


def _strict_security(environ: Mapping[str, str]) -> dict[str, str]:
    """The strict security setting under its first name; empty if no variable sets it."""
    texts = {
        name: text.strip() for name, text in environ.items() if name.upper() in STRICT_SECURITY_NAMES and text.strip()
    }
    if len({_value(name, _boolean, text) for name, text in texts.items()}) > 1:
        both = " and ".join(f"{name}={quoted(text)}" for name, text in sorted(texts.items()))
        raise SettingsError(f"{both} are two names of one setting and disagree: unset one of them")
    return {STRICT_SECURITY_NAMES[0]: next(iter(texts.values()))} if texts else {}


def _value(name: str, read: Callable[[str], object], text: str) -> object:
    try:
        return read(text)
    except ValueError as error:
        raise SettingsError(f"{name}={quoted(text)} is not allowed: write {error}") from None
