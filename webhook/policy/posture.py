"""The wanted posture of a component's pods, and the settings that require it.

The custom resource, its parent and the settings of vmguard decide the posture; the pod changes nothing. The first
setting that is set counts. Its place is part of the posture, so every finding can name its source.
"""

from typing import Any, Literal

import msgspec

from webhook.policy.components import Component
from webhook.policy.conditions import Path, holds, paths_of
from webhook.policy.workload import Workload
from webhook.settings import STRICT_SECURITY_NAMES, Settings

_STRICT_NAME = STRICT_SECURITY_NAMES[0]
POLICY_FIELD = "podSecurityPolicyName"
_CONTEXT_FIELD = "securityContext"
_STRICT_FIELD = "useStrictSecurity"
_AUTOMOUNT_FIELD = "disableAutomountServiceAccountToken"

PART_FIELDS = (_CONTEXT_FIELD, _STRICT_FIELD, _AUTOMOUNT_FIELD, POLICY_FIELD)
"""The fields of every component's part that decide the posture."""

ROOT_FIELDS = (_STRICT_FIELD, POLICY_FIELD)
"""The fields of a resource's root that decide the posture, beside those of a component there."""

LAYER_FIELDS = (_STRICT_FIELD,)
"""The fields of a parent's settings for a child that decide the posture."""

_AUTOMOUNT_NAME = "VMGUARD_DISABLE_AUTOMOUNT"


class Setting(msgspec.Struct, frozen=True, gc=False):
    """A setting: its place (an environment variable or a field of a resource) and its value as text (`word`)."""

    place: str
    word: str

    def __str__(self) -> str:
        return f"{self.place}={self.word}"


class Posture(msgspec.Struct, frozen=True):
    """The wanted posture of one component's pods.

    `security_context` is strict, custom (the resource's own, in `own_context`) or off. `api_access` is automount (the
    API server's default) or explicit (a token only for containers that need it). `needs_api` is whether the main
    container calls the Kubernetes API, whatever runs it. With `ignores_strict` the part that has the resource's own
    context sets `useStrictSecurity: true` as well, which has no effect there.
    """

    component: Component
    security_context: Literal["strict", "custom", "off"]
    context_setting: Setting
    api_access: Literal["automount", "explicit"]
    api_setting: Setting
    own_context: dict[str, Any]
    needs_api: bool
    pod_security_policy: Setting | None = None
    place: str = ""
    ignores_strict: bool = False

    @property
    def title(self) -> str:
        """The component for a person, with its place in a parent."""
        return self.place or self.component.name

    @property
    def set_by_resource(self) -> bool:
        """Whether a resource sets the security context, so that the operator itself applies it."""
        return self.security_context != "off" and self.context_setting.place != _STRICT_NAME

    @property
    def because(self) -> tuple[str, ...]:
        """The settings that the posture follows from, a line each."""
        return (str(self.context_setting), str(self.api_setting))


def posture_of(workload: Workload, settings: Settings) -> Posture:
    """The posture of a workload's pods."""
    component, spec = workload.component, workload.spec
    part = component.part_of(spec)
    own = part.get(_CONTEXT_FIELD)
    mode: Literal["strict", "custom", "off"]
    if own is not None:
        mode, setting = "custom", Setting(_place(workload, component.path, _CONTEXT_FIELD), "{…}" if own else "{}")
    else:
        strict, setting = _strict(workload, settings)
        mode = "strict" if strict else "off"
    automount_off, api_setting = _automount_off(workload, part, settings)
    return Posture(
        component=component,
        security_context=mode,
        context_setting=setting,
        api_access="explicit" if automount_off else "automount",
        api_setting=api_setting,
        own_context=own if isinstance(own, dict) else {},
        needs_api=holds(component.api, part),
        pod_security_policy=_policy(workload, part),
        ignores_strict=mode == "custom" and _strict_beside_context(workload),
    )


def paths_in(component: Component) -> tuple[Path, ...]:
    """The fields of a component's part that its posture is made from."""
    return (*((field,) for field in PART_FIELDS), *paths_of([component.api]))


def _strict(workload: Workload, settings: Settings) -> tuple[bool, Setting]:
    for place, value in _strict_fields(workload):
        if isinstance(value, bool):
            return value, Setting(place, "true" if value else "false")
    return settings.strict_security, Setting(_STRICT_NAME, "true" if settings.strict_security else "false")


def _strict_beside_context(workload: Workload) -> bool:
    """Whether one part has `useStrictSecurity: true`, and it or a more general part has a context.

    The operator reads the context alone.
    """
    layers = workload.parentage.layers
    specs = (workload.spec,) if layers is None else tuple(spec for _, spec in layers)
    parts = [workload.component.part_of(spec) for spec in specs]
    strict = next((index for index, part in enumerate(parts) if part.get(_STRICT_FIELD) is not None), None)
    if strict is None or parts[strict][_STRICT_FIELD] is not True:
        return False
    own = next((index for index, part in enumerate(parts) if part.get(_CONTEXT_FIELD) is not None), None)
    return own is not None and own >= strict


def _strict_fields(workload: Workload) -> list[tuple[str, Any]]:
    """Each possible place of `useStrictSecurity`, with its value: component before root, or only the parent."""
    component, layers = workload.component, workload.parentage.layers
    specs = ((f"{workload} spec", workload.spec),) if layers is None else layers
    parts = [(".".join((place, *component.path[1:])), component.part_of(spec)) for place, spec in specs]
    if len(component.path) > 1:
        parts += specs
    return [(f"{place}.{_STRICT_FIELD}", part.get(_STRICT_FIELD)) for place, part in parts]


def _automount_off(workload: Workload, part: dict[str, Any], settings: Settings) -> tuple[bool, Setting]:
    value = part.get(_AUTOMOUNT_FIELD)
    if isinstance(value, bool):
        return value, Setting(_place(workload, workload.component.path, _AUTOMOUNT_FIELD), "true" if value else "false")
    return settings.disable_automount, Setting(_AUTOMOUNT_NAME, "true" if settings.disable_automount else "false")


def _policy(workload: Workload, part: dict[str, Any]) -> Setting | None:
    for path, where in ((workload.component.path, part), (("spec",), workload.spec)):
        name = where.get(POLICY_FIELD)
        if isinstance(name, str) and name:
            return Setting(_place(workload, path, POLICY_FIELD), name)
    return None


def _place(workload: Workload, path: tuple[str, ...], field: str) -> str:
    return f"{workload} {'.'.join((*path, field))}"
