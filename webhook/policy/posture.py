"""What must the pods of a component look like, and who said so.

Answers from the custom resource, its parent and the settings only; the pod has no say. The first word that is said
wins, and its place is kept, so that every finding can name whose setting asked.
"""

from typing import Any, Literal

import msgspec

from webhook.policy.components import Component
from webhook.policy.workload import Workload
from webhook.settings import STRICT_SECURITY_NAMES, Settings

_STRICT_NAME = STRICT_SECURITY_NAMES[0]
POLICY_FIELD = "podSecurityPolicyName"
_AUTOMOUNT_FIELD = "disableAutomountServiceAccountToken"
READ = ("securityContext", "useStrictSecurity", _AUTOMOUNT_FIELD, "ingestOnlyMode", POLICY_FIELD)
"""The fields of a component's part that say something here."""

_AUTOMOUNT_NAME = "VMGUARD_DISABLE_AUTOMOUNT"


class Setting(msgspec.Struct, frozen=True, gc=False):
    """Whose word it is: the place (an environment variable or a field of a resource) and, with it, what it says."""

    place: str
    word: str

    def __str__(self) -> str:
        return f"{self.place}={self.word}"


class Posture(msgspec.Struct, frozen=True):
    """The wanted posture of one component's pods.

    `security_context` is strict, custom (the resource's own, in `own_context`) or off; `api_access` is automount (as
    the API server made it) or explicit (a token only for containers that need it).
    """

    component: Component
    security_context: Literal["strict", "custom", "off"]
    context_setting: Setting
    api_access: Literal["automount", "explicit"]
    api_setting: Setting
    own_context: dict[str, Any]
    scrapes: bool
    pod_security_policy: Setting | None = None

    @property
    def set_by_resource(self) -> bool:
        """Whether a resource asks for the security context, so that the operator itself applies it."""
        return self.security_context != "off" and self.context_setting.place != _STRICT_NAME

    @property
    def because(self) -> tuple[str, ...]:
        """Who asked, a line each."""
        return (str(self.context_setting), str(self.api_setting))


def posture_of(workload: Workload, settings: Settings) -> Posture:
    """The posture of a workload's pods."""
    component, spec = workload.component, workload.spec
    part = component.part_of(spec)
    own = part.get("securityContext")
    mode: Literal["strict", "custom", "off"]
    if own is not None:
        mode, asked = "custom", Setting(_place(workload, component.path, "securityContext"), "{…}" if own else "{}")
    else:
        strict, asked = _strict(workload, settings)
        mode = "strict" if strict else "off"
    automount_off, api_setting = _automount_off(workload, part, settings)
    return Posture(
        component=component,
        security_context=mode,
        context_setting=asked,
        api_access="explicit" if automount_off else "automount",
        api_setting=api_setting,
        own_context=own if isinstance(own, dict) else {},
        scrapes=part.get("ingestOnlyMode") is False,
        pod_security_policy=_policy(workload, part),
    )


def _strict(workload: Workload, settings: Settings) -> tuple[bool, Setting]:
    for place, word in _words(workload):
        if isinstance(word, bool):
            return word, Setting(place, "true" if word else "false")
    return settings.strict_security, Setting(_STRICT_NAME, "true" if settings.strict_security else "false")


def _words(workload: Workload) -> list[tuple[str, Any]]:
    """Where `useStrictSecurity` may stand and what is there: component before root; with a parent its word alone."""
    component, layers = workload.component, workload.parentage.layers
    specs = ((f"{workload} spec", workload.spec),) if layers is None else layers
    words = [(".".join((place, *component.path[1:])), component.part_of(spec)) for place, spec in specs]
    if len(component.path) > 1:
        words += specs
    return [(f"{place}.useStrictSecurity", part.get("useStrictSecurity")) for place, part in words]


def _automount_off(workload: Workload, part: dict[str, Any], settings: Settings) -> tuple[bool, Setting]:
    word = part.get(_AUTOMOUNT_FIELD)
    if isinstance(word, bool):
        return word, Setting(_place(workload, workload.component.path, _AUTOMOUNT_FIELD), "true" if word else "false")
    return settings.disable_automount, Setting(_AUTOMOUNT_NAME, "true" if settings.disable_automount else "false")


def _policy(workload: Workload, part: dict[str, Any]) -> Setting | None:
    for path, where in ((workload.component.path, part), (("spec",), workload.spec)):
        name = where.get(POLICY_FIELD)
        if isinstance(name, str) and name:
            return Setting(_place(workload, path, POLICY_FIELD), name)
    return None


def _place(workload: Workload, path: tuple[str, ...], field: str) -> str:
    return f"{workload} {'.'.join((*path, field))}"
