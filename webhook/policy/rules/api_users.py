"""The user's containers that clearly call the Kubernetes API and have no token. A part of `api-access`.

With `disableAutomountServiceAccountToken` only the operator's containers that need the API get a token. A container
calls the API clearly when its image is a well-known client of it, or its command names kubectl, the API's address or
the path of the token.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from webhook.objects import Volume
from webhook.policy.conditions import text_at
from webhook.policy.json_access import object_of, objects_of
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import PreviewedPod
from webhook.policy.rules.token_fixes import MOUNT, MOVE
from webhook.policy.token_volume import TOKEN_PATH, is_token_path, token_fault, unusable

_CLIENTS = frozenset({"k8s-sidecar", "kubectl", "kube-rbac-proxy", "oauth-proxy"})
_KUBECTL = "kubectl"
_OWN_CONFIG = "--kubeconfig"
_CONFIG_SIGN = f"{_OWN_CONFIG}=x"
_CONFIGURED = re.compile(rf"(?:^|\s){_OWN_CONFIG}(?:=\S|\s|$)")
"""The option with which kubectl uses another token; the variable KUBECONFIG counts like it."""

_SIGNS = ("kubernetes.default", "KUBERNETES_SERVICE_HOST", TOKEN_PATH)


def users_without_token(pod: PreviewedPod, posture: Posture) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A text for each such container, and what it is about."""
    if posture.api_access != "explicit":
        return
    spec = pod.pod["spec"]
    tokens = {volume.get("name") for volume in spec["volumes"] if holds_token(volume)}
    for container in (*spec["initContainers"], *spec["containers"]):
        if container["name"] in posture.component.containers:
            continue
        mounts = objects_of(container.get("volumeMounts"))
        sign = _sign(container)
        if not sign:
            continue
        name = str(container["name"])
        text = f"container {name!r} calls the Kubernetes API ({sign})"
        if tokens.isdisjoint(mount.get("name") for mount in mounts):
            text += f" and gets no token with {posture.api_setting.place.rpartition('.')[2]}: mount a projected one"
            yield f"{text} at {TOKEN_PATH}", (MOUNT, name)
            continue
        in_place = next((mount.get("name") for mount in mounts if is_token_path(text_at(mount, ("mountPath",)))), None)
        volume: dict[str, Any] = next((each for each in spec["volumes"] if each.get("name") == in_place), {})
        fault_of = unusable if _KUBECTL in sign else token_fault  # another client may do without a certificate
        if holds_token(volume) and (fault := fault_of(msgspec.convert(volume, Volume))):
            yield f"{text}, but the volume {in_place!r} at its token path {fault}", (MOVE, name, str(in_place))


def _sign(container: dict[str, Any]) -> str:
    """What shows that a container calls the API, "" for nothing."""
    found = signs(container)
    own_config = _CONFIG_SIGN in found
    image = str(container.get("image") or "").rpartition("/")[2].partition("@")[0].partition(":")[0]
    if image in _CLIENTS and not own_config:
        return f"image {image}"
    sign = next((each for each in found if each != _CONFIG_SIGN and not (own_config and each == _KUBECTL)), "")
    if sign == _KUBECTL:
        return f"it runs {_KUBECTL}"
    return f"its command names {sign}" if sign else ""


def signs(container: dict[str, Any]) -> list[str]:
    """The signs in the command and arguments of a container, without what stands beside them."""
    words = [str(word) for field in ("command", "args") for word in _list(container.get(field))]
    found: list[str] = []
    if any(map(_CONFIGURED.search, words)) or _has_config(container):
        found.append(_CONFIG_SIGN)
    for word in words:
        found += [_KUBECTL] if _KUBECTL in word.replace("/", " ").split() else []
        found += [sign for sign in _SIGNS if sign in word]
    return list(dict.fromkeys(found))


def _has_config(container: dict[str, Any]) -> bool:
    named = (each for each in objects_of(container.get("env")) if each.get("name") == "KUBECONFIG")
    return any(each.get("value") or each.get("valueFrom") for each in named)


def holds_token(volume: dict[str, Any]) -> bool:
    """Whether a raw volume is projected and has a token in it."""
    sources = objects_of(object_of(volume.get("projected")).get("sources"))
    return any(each.get("serviceAccountToken") is not None for each in sources)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
