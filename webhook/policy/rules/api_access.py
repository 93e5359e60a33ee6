"""api-access: a token for the Kubernetes API only in the containers that need it.

The component's `disableAutomountServiceAccountToken` requires it, else VMGUARD_DISABLE_AUTOMOUNT. One patch then does
all of it. It sets `automountServiceAccountToken: false`, without which the API server's second pass adds the token
again. It removes the API server's token volume from every container where it is mounted at the token path, and the
volume itself when no mount of it is left. It adds the volume `kube-api-access` with a read-only mount to the containers
that need the API. vmguard never changes a token volume or mount that the user wrote, and no container gets a second
mount at that path.

The component table says when a main container needs the API. The operator's other containers need it exactly when they
read a Secret through it (`--config-secret-name`).

A container of the user that clearly calls the API must bring a token of its own. vmguard warns the person who applies
the resource if it has none: if its image is a well-known client, or its command names kubectl, the API's address or the
path of the token.

Source: ServiceAccount admission plugin 1.20 to 1.37; operators v0.54 and v0.74, which make the volume for every
VMAgent, needed or not.
"""

from typing import Any

from webhook.admission.patch import Edit
from webhook.objects import Container, Volume
from webhook.policy.findings import Change, Finding, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.api_users import users_without_token
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import PreviewedPod, Subject
from webhook.policy.token_volume import TOKEN_MOUNT, TOKEN_PATH, TOKEN_VOLUME, VOLUME

ID = "api-access"

_READS_SECRET = ("--config-secret-name", "-config-secret-name")
_SECRET_TOKENS_UNTIL = 22
_WHY = "API access only where it is needed"


def check(subject: Subject, posture: Posture) -> list[Finding]:
    """Findings for one pod."""
    needing = [(path, container) for path, container in subject.containers() if _needs_api(container, subject, posture)]
    if posture.api_access == "automount":
        return [_no_token(container) for _, container in needing if not _has_mount(container)]
    source = posture.api_setting.place
    conflict = _conflict(subject, needing, source)
    return [conflict] if conflict else _explicit(subject, posture, needing, source)


def check_users(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Warnings about the user's containers of one pod."""
    return [Warn(ID, text) for text in users_without_token(pod, posture)]


def _explicit(subject: Subject, posture: Posture, needing: list[tuple[str, Container]], source: str) -> list[Finding]:
    def change(edit: Edit, why: str = _WHY) -> Change:
        return Change(ID, edit, why, source)

    findings: list[Finding] = []
    spec = subject.pod.spec
    injected = [(index, volume) for index, volume in enumerate(spec.volumes or ()) if _is_api_servers(volume, subject)]
    names = {volume.name for _, volume in injected}
    still_mounted: set[str] = set()
    needy = {path for path, _ in needing}
    for path, container in subject.containers():
        mounts = container.volume_mounts or []
        own = False
        for index in range(len(mounts) - 1, -1, -1):
            mount = mounts[index]
            at_token_path = mount.mount_path == TOKEN_PATH
            if mount.name in names and at_token_path:
                findings.append(change(Edit("remove", f"{path}/volumeMounts/{index}")))
            elif mount.name in names:
                still_mounted.add(mount.name)
            elif at_token_path:
                own = True
        if path in needy and not own:
            if VOLUME in subject.user_volumes and _forgotten_by_operator(container, posture):
                findings.append(_users_volume(container))
                continue
            forgotten = spec.automount_service_account_token is False
            why = "it needs the API and was given no token" if forgotten else f"{container.name} needs the API"
            findings.append(change(_append(f"{path}/volumeMounts", TOKEN_MOUNT, present=bool(mounts)), why))
    removed = [index for index, volume in injected if volume.name not in still_mounted]
    findings += [change(Edit("remove", f"/spec/volumes/{index}")) for index in reversed(removed)]
    if (needing or posture.needs_api) and not _has_volume(spec.volumes):
        findings.append(change(_append("/spec/volumes", TOKEN_VOLUME, present=bool(spec.volumes))))
    if spec.automount_service_account_token is None:
        findings.append(change(Edit("add", "/spec/automountServiceAccountToken", value=False)))
    return findings


def _append(array: str, value: dict[str, Any], *, present: bool) -> Edit:
    return Edit("add", f"{array}/-", value) if present else Edit("add", array, [value])


def _conflict(subject: Subject, needing: list[tuple[str, Container]], source: str) -> Violation | None:
    """Why a patch would do only half: the pod requires a token explicitly, or the name of the volume is taken."""
    spec = subject.pod.spec
    if spec.automount_service_account_token is True:
        path = "/spec/automountServiceAccountToken"
        return Violation(ID, path, found=True, wanted=False, why="the pod asks for a token explicitly", source=source)
    for index, volume in enumerate(spec.volumes or ()):
        if volume.name == VOLUME and not volume.holds_token and needing:
            why = (
                f"a volume of the name {VOLUME} is there and holds no token: rename it, then API access can be limited"
            )
            return Violation(ID, f"/spec/volumes/{index}/name", VOLUME, "another name", why, source)
    return None


def _needs_api(container: Container, subject: Subject, posture: Posture) -> bool:
    component = posture.component
    if container.name == component.main:
        return posture.needs_api or (subject.in_daemonset and component.needs_api_in_daemonset)
    if container.name not in component.containers:
        return False
    return any(argument.partition("=")[0] in _READS_SECRET for argument in container.args or ())


def _forgotten_by_operator(container: Container, posture: Posture) -> bool:
    """Whether the operator itself gives this container no mount; then vmguard adds its own, never a user's volume."""
    return container.name == posture.component.main and not posture.component.gets_token


def _users_volume(container: Container) -> Warn:
    return Warn(
        ID,
        f"container {container.name!r} needs the Kubernetes API and has no token: the volume {VOLUME} is the user's"
        f" own, mount it at {TOKEN_PATH} with the resource's volumeMounts",
    )


def _no_token(container: Container) -> Warn:
    return Warn(
        ID,
        f"container {container.name!r} needs the Kubernetes API and has no token: its ServiceAccount or its pod says"
        " automountServiceAccountToken: false, or the pod has not been through an API server",
    )


def _is_api_servers(volume: Volume, subject: Subject) -> bool:
    """Whether the ServiceAccount admission plugin made it: by its name and source, and no user wrote it."""
    if volume.name in subject.user_volumes:
        return False
    if volume.name.startswith(f"{VOLUME}-"):
        return volume.holds_token
    if subject.minor >= _SECRET_TOKENS_UNTIL or volume.secret is None:
        return False
    account = subject.pod.spec.service_account_name or "default"
    return (volume.secret.secret_name or "").startswith(f"{account}-token-")


def _has_volume(volumes: list[Volume] | None) -> bool:
    return any(volume.name == VOLUME for volume in volumes or ())


def _has_mount(container: Container) -> bool:
    return any(mount.mount_path == TOKEN_PATH for mount in container.volume_mounts or ())


RULE = Rule(id=ID, order=50, text=__doc__, pod=check, preview=check_users)
