"""Every knob, once: environment name, default, allowed values, meaning.

Read at start from the environment and never again. A wrong value stops the start with one line that names variable,
value and what is allowed. Empty is unset.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class SettingsError(ValueError):
    """A setting that is wrong; the text is one line for the person who must correct it."""


class _NotAllowedError(ValueError):
    """What is allowed instead, in words."""


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[str(value).strip().lower()]
    except KeyError:
        raise _NotAllowedError("true, false, 1, 0, yes or no") from None


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return tuple(part for part in (piece.strip() for piece in str(value).split(",")) if part)


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _address(value: str) -> str:
    parse_address(value)
    return value


Boolean = Annotated[bool, BeforeValidator(_boolean)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Address = Annotated[str, AfterValidator(_address)]


def parse_address(text: str) -> tuple[str, int]:
    """`host, port` of `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (host "", which is every address of both families).

    Raises:
        ValueError: not such an address; the message says what is allowed.

    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise _NotAllowedError("HOST:PORT, [IPV6]:PORT or :PORT with a port from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise _NotAllowedError("an IPv6 address in brackets, as in [::1]:8443")
    return host, int(port)


class Settings(BaseModel):
    """The settings as they are after defaults, environment and options. Field descriptions are the documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    strict_security: Boolean = Field(
        True, alias="VM_ENABLESTRICTSECURITY", description="strict security context where the CR is silent"
    )
    psp_autocreate: Boolean = Field(
        False, alias="VM_PSPAUTOCREATEENABLED", description="the leader makes default PodSecurityPolicies"
    )
    watch_namespaces: Names = Field(
        (), alias="WATCH_NAMESPACE", description="comma list of the namespaces to decide in; none is all"
    )
    mode: Annotated[Literal["enforce", "audit"], BeforeValidator(_lower)] = Field(
        "enforce",
        alias="VMGUARD_MODE",
        description="audit: nothing is patched or denied; what would have been is told, a denial as a warning too",
    )
    enforce: Annotated[Literal["off", "warn", "deny"], BeforeValidator(_lower)] = Field(
        "warn", alias="VMGUARD_ENFORCE", description="what /validate does with a pod that is not compliant"
    )
    unknown: Annotated[Literal["refuse", "allow"], BeforeValidator(_lower)] = Field(
        "refuse", alias="VMGUARD_UNKNOWN", description="a pod whose CR cannot be known: HTTP 500, or allowed untouched"
    )
    psp_bindable: Names = Field(
        (), alias="VMGUARD_PSP_BINDABLE", description="comma list of policies that the leader may bind for a CR"
    )
    harden_sidecars: Boolean = Field(
        False, alias="VMGUARD_HARDEN_SIDECARS", description="fill the user's containers too"
    )
    disable_automount: Boolean = Field(
        False,
        alias="VMGUARD_DISABLE_AUTOMOUNT",
        description="for disableAutomountServiceAccountToken where the CR is silent",
    )
    run_as: Annotated[Literal["65534", "platform"], BeforeValidator(_lower)] = Field(
        "65534", alias="VMGUARD_RUN_AS", description="user and group ids to fill, or leave them to the platform"
    )
    dry_run: Boolean = Field(True, alias="VMGUARD_DRY_RUN", description="serve /dry-run, /docs and /openapi.json")
    listen: Address = Field(":8443", alias="VMGUARD_LISTEN", description="address of the webhook listener (TLS)")
    ops_listen: Address = Field(
        ":8080", alias="VMGUARD_OPS_LISTEN", description="address of the operations listener (plain HTTP)"
    )
    cert_dir: str = Field("", alias="VMGUARD_CERT_DIR", description="directory with tls.crt, tls.key and ca.crt")
    shutdown_delay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        5,
        alias="VMGUARD_SHUTDOWN_DELAY",
        description="seconds to go on serving, not ready, after the signal to end",
    )
    namespace: str = Field(
        "", alias="POD_NAMESPACE", description="namespace of the Lease; else the pod's own, or the kubeconfig context's"
    )
    kube_api_qps: Annotated[float, Field(gt=0)] = Field(
        50, alias="VMGUARD_KUBE_API_QPS", description="requests a second to the API server at the most"
    )
    kube_api_burst: Annotated[int, Field(gt=0)] = Field(
        100, alias="VMGUARD_KUBE_API_BURST", description="requests at once to the API server after a quiet time"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", alias="VMGUARD_LOG_LEVEL", description="least severe log lines to write"
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **overrides: object) -> "Settings":
        """Settings from environment variables; `overrides` are options by environment name and beat them.

        Raises:
            SettingsError: a value that is not allowed, or two names of one setting that disagree.

        """
        values: dict[str, Any] = {
            name: environ[name]
            for name in (field.alias for field in cls.model_fields.values())
            if name is not None and environ.get(name, "").strip()
        }
        values |= _strict_security(environ)
        values |= overrides
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(_in_one_line(error)) from None


STRICT_SECURITY_NAMES = ("VM_ENABLESTRICTSECURITY", "ENABLESTRICTSECURITY")
"""Both are read in any case: the operator's own documentation writes them in several."""


def _strict_security(environ: Mapping[str, str]) -> dict[str, str]:
    said = {
        name: value.strip()
        for name, value in environ.items()
        if name.upper() in STRICT_SECURITY_NAMES and value.strip()
    }
    for name, value in said.items():
        if value.lower() not in _BOOLEANS:
            raise SettingsError(f"{name}={value!r} is not allowed: write true, false, 1, 0, yes or no")
    if len({_BOOLEANS[value.lower()] for value in said.values()}) > 1:
        both = " and ".join(f"{name}={value!r}" for name, value in sorted(said.items()))
        raise SettingsError(f"{both} are two names of one setting and disagree: unset one of them")
    return {STRICT_SECURITY_NAMES[0]: next(iter(said.values()))} if said else {}


def _in_one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    allowed = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
    if first["type"] == "literal_error":
        allowed = first["ctx"]["expected"].replace("'", "")
    return f"{first['loc'][0]}={str(first['input'])!r} is not allowed: write {allowed}"
