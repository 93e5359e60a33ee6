"""Webhooks that use the token of a pod, where the pod may have none. A part of `api-access`.

An annotation or a label of the pod calls them.

Source: vault-k8s, whose agent gets the token mount of a container of the pod, or the projected volume that an
annotation names, and which reads booleans as Go's `strconv.ParseBool` does; the secrets webhook of Bank-Vaults, whose
vault-env logs in to Vault with the token of its container; consul-k8s, whose injector refuses the pod where ACLs are on
and no container mounts a token; Kuma, whose sidecar gets the mount of a container, or the volume that an annotation
names.
"""

from collections.abc import Iterator

import msgspec

from webhook.policy.conditions import text_at
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.posture import Posture
from webhook.policy.rules.api_users import holds_token
from webhook.policy.rules.subject import PreviewedPod
from webhook.policy.token_volume import TOKEN_PATH, VOLUME, is_token_path


class _Injector(msgspec.Struct, frozen=True):
    """A webhook: the annotation that calls it, and the values, none for any; what it does, and what to do.

    With `by_label` a label of that name calls it. `names_volume` is the annotation that names a volume with a token.
    `logs_in_by` is the annotation with the way to log in, and `with_token` has the ways that use the token.
    """

    annotation: str
    values: frozenset[str]
    does: str
    fix: str
    by_label: bool = False
    names_volume: str = ""
    logs_in_by: str = ""
    with_token: frozenset[str] = frozenset({"", "kubernetes", "jwt"})


_VOLUME = "vault.hashicorp.com/agent-service-account-token-volume-name"
_MOUNT = f"mount a projected one at {TOKEN_PATH}"
_TRUE = frozenset({"true", "t", "1"})
_KUMA_VOLUME = "kuma.io/service-account-token-volume"

_INJECTORS = (
    _Injector(
        annotation="vault.hashicorp.com/agent-inject",
        values=_TRUE,
        does="the Vault injector copies a container's token mount",
        fix=f"add a projected token volume, named in annotation {_VOLUME}",
        names_volume=_VOLUME,
        logs_in_by="vault.hashicorp.com/auth-type",
    ),
    *(
        _Injector(
            annotation=f"{prefix}/vault-addr",
            values=frozenset(),
            does="vault-env of Bank-Vaults logs in with its container's token",
            fix=_MOUNT,
            logs_in_by=f"{prefix}/vault-auth-method",
        )
        for prefix in ("vault.security.banzaicloud.io", "secrets-webhook.security.bank-vaults.io")
    ),
    _Injector(
        annotation="consul.hashicorp.com/connect-inject",
        values=_TRUE,
        does="the Consul injector copies a container's token mount where ACLs are on",
        fix=_MOUNT,
    ),
    _Injector(
        annotation="kuma.io/sidecar-injection",
        values=frozenset({"enabled", "true"}),
        does="the sidecar of Kuma uses a container's token mount",
        fix=f"add a projected token volume, named in annotation {_KUMA_VOLUME}",
        by_label=True,
        names_volume=_KUMA_VOLUME,
    ),
)


LABELS = frozenset(each.annotation for each in _INJECTORS if each.by_label)
"""All labels that are read here."""

ANNOTATIONS = frozenset(
    name for each in _INJECTORS for name in (each.annotation, each.names_volume, each.logs_in_by) if name
)
"""All annotations that are read here, and the labels."""


def injectors_without_token(pod: PreviewedPod, posture: Posture) -> Iterator[tuple[str, str]]:
    """For each webhook that will look for a token in vain a text, and the annotation that may name a volume."""
    if posture.api_access != "explicit":
        return
    metadata = object_of(pod.pod.get("metadata"))
    labels, annotations = object_of(metadata.get("labels")), object_of(metadata.get("annotations"))
    spec = pod.pod["spec"]
    for injector in _INJECTORS:
        value = (labels if injector.by_label else annotations).get(injector.annotation)
        if value is None or (injector.values and str(value).lower() not in injector.values):
            continue
        if str(annotations.get(injector.logs_in_by, "")) not in injector.with_token:
            continue
        named = str(annotations.get(injector.names_volume, ""))
        if not _has_token(spec, named):
            text = f"{injector.does} ({injector.annotation}), which may be missing here: {injector.fix}"
            yield text, injector.names_volume


def _has_token(spec: Raw, named: str) -> bool:
    """Whether the user's volume of that name holds a token, or a container mounts one of the user's at the token path.

    The volume of a container that needs the API does not count: whether it is there when the webhook looks depends on
    the operator and on the order of the webhooks.
    """
    names = {volume.get("name") for volume in spec["volumes"] if holds_token(volume)}
    tokens = {name for name in names if not str(name).startswith(VOLUME)}
    if named in tokens:
        return True
    return any(
        mount.get("name") in tokens and is_token_path(text_at(mount, ("mountPath",)))
        for container in spec["containers"]
        for mount in objects_of(container.get("volumeMounts"))
    )
