"""A token of its own for a container, or another name for a volume in the token's place. A part of `api-access`."""

from webhook.policy.findings import Fix, Violation, Warn
from webhook.policy.rules.subject import FlawedPod
from webhook.policy.token_volume import TOKEN_MOUNT, TOKEN_PATH, TOKEN_VOLUME, VOLUME

MOUNT, INJECT, USE, SWITCH, RENAME, MOVE = "mount", "inject", "use", "switch", "rename", "move"
"""What the fix of a warning does; the first of the names that the warning is about."""

_OWN_TOKEN = "api-token"  # noqa: S105 - the name of a volume

_WEBHOOKS = "kubectl get mutatingwebhookconfigurations"


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """A token of its own for a container, or another name or place for a volume that takes the place of the token."""
    if isinstance(finding, Violation):
        if finding.path.startswith("/spec/volumes/"):
            return _renamed(VOLUME, pod)
        return Fix(notes=("No field of the resource sets it. This lists the webhooks that may:",), command=_WEBHOOKS)
    what, name, *more = finding.about
    if what == MOUNT:
        volume = pod.unused(_OWN_TOKEN)
        mount = {**TOKEN_MOUNT, "name": volume}
        return Fix({"volumes": [{**TOKEN_VOLUME, "name": volume}], **pod.of_container(name, {"volumeMounts": [mount]})})
    if what == INJECT and name:
        volume = pod.unused(f"{name.partition('.')[0]}-token")
        sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]
        fields = {"volumes": [{"name": volume, "projected": {"sources": sources}}]}
        return Fix({**fields, "podMetadata": {"annotations": {name: volume}}})
    if what == INJECT:
        volume = pod.unused(_OWN_TOKEN)
        mounts = {"volumeMounts": [{**TOKEN_MOUNT, "name": volume}]}
        return Fix({"volumes": [{**TOKEN_VOLUME, "name": volume}], **mounts})
    if what == USE:
        return Fix({"volumeMounts": [TOKEN_MOUNT]})
    if what == SWITCH:
        notes = ("vmguard then gives a token to the containers that need the Kubernetes API, and to no other.",)
        return Fix({"disableAutomountServiceAccountToken": True}, notes=notes)
    if what == RENAME:
        return _renamed(name, pod)
    note = f"Mount volume {more[0]!r} of container {name!r} at <another path> instead of {TOKEN_PATH}."
    return Fix(notes=(note,))


def _renamed(name: str, pod: FlawedPod) -> Fix:
    return Fix(renames=((name, pod.unused(f"own-{name}")),))
