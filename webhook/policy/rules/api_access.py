"""api-access: a token for the Kubernetes API only in the containers that need it.

The component's `disableAutomountServiceAccountToken` requires it, else VMGUARD_DISABLE_AUTOMOUNT. One patch then does
all of it:

- It sets `automountServiceAccountToken: false`. Without that the API server's second pass adds the token again.
- It removes every mount at the token path that the ServiceAccount admission plugin made. It removes the plugin's volume
  when no mount of it is left.
- It adds the volume `kube-api-access` with a read-only mount to the containers that need the API. No container gets a
  second mount at that path.

The component table says when a main container needs the API. The operator's other containers need it exactly when they
read a Secret through it (`--config-secret-name`).

vmguard never changes a volume or a mount of the user. A mount at the token path is the user's only if the resource's
volumeMounts, containers or initContainers contain it. The plugin mounts the first volume whose name starts with
`kube-api-access-` in every container, so the mount alone does not show who wrote it. vmguard reports:

- a mount at the token path that neither the resource nor the operator brings, as another webhook may have added a token
  there; not where the resource is not known, and not in a container that is neither the operator's nor in the resource
- a volume in place of the token that a client of the API cannot use: it holds no token, a token for
  another audience or in another file, or no certificate of the API server
- a container of the user that clearly calls the API and has no token: its image is a well-known client, or its command
  names kubectl, the API's address or the path of the token
- an annotation or label that calls a webhook which uses the pod's token, where the resource brings no token volume of
  its own. The injectors of Vault (`vault.hashicorp.com/agent-inject`), Consul and Kuma copy the token mount of a
  container. vault-env of Bank-Vaults (`vault-addr`) logs in with that token

Why: a token that a container does not need is a token that an attacker can use. A container that needs one and has none
fails.

What to do: give a container of your own a token volume of its own:

    volumes:
    - name: api-token
      projected:
        sources:
        - serviceAccountToken: {path: token, expirationSeconds: 3600}
        - configMap: {name: kube-root-ca.crt}
        - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
    containers:
    - name: kubectl
      volumeMounts: [{name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}]

For the Vault injector:

    volumes:
    - name: vault-token
      projected: {sources: [{serviceAccountToken: {path: token, expirationSeconds: 3600}}]}
    podMetadata:
      annotations: {vault.hashicorp.com/agent-service-account-token-volume-name: vault-token}

Source: ServiceAccount admission plugin 1.20 to 1.37; operators v0.54 and v0.74, which make the volume for every
VMAgent, needed or not.
"""

from collections.abc import Mapping
from typing import Any

from webhook.admission.patch import Edit
from webhook.objects import Container, Volume
from webhook.policy.findings import Change, Finding, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.api_users import signs, users_without_token
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import PreviewedPod, Subject, arguments_of
from webhook.policy.rules.token_fixes import INJECT, MOVE, RENAME, SWITCH, USE, fix
from webhook.policy.rules.token_injectors import ANNOTATIONS, injectors_without_token
from webhook.policy.token_volume import (
    PLUGIN_PREFIX,
    TOKEN_MOUNT,
    TOKEN_PATH,
    TOKEN_VOLUME,
    VOLUME,
    is_token_path,
    unusable,
)

ID = "api-access"

_READS_SECRET = ("--config-secret-name", "-config-secret-name")

_SECRET_TOKENS_UNTIL = 22
_WHY = "API access only where it is needed"

_FOREIGN = f"the resource does not mount this volume at {TOKEN_PATH}, and neither does the operator"


def check(subject: Subject, posture: Posture) -> list[Finding]:
    """Findings for one pod."""
    needing = [(path, container) for path, container in subject.containers() if _needs_api(container, subject, posture)]
    volumes = {volume.name: volume for volume in reversed(subject.pod.spec.volumes or ())} if needing else {}
    if posture.api_access == "automount":
        return [warning for _, container in needing for warning in _no_token(container, volumes)]
    source = posture.api_setting.place
    conflict = _conflict(subject, needing, source)
    return [conflict] if conflict else _explicit(subject, posture, needing, volumes, source)


def check_users(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Warnings about the user's containers of one pod, and about webhooks that use the pod's token."""
    return [
        *(Warn(ID, text, about=about) for text, about in users_without_token(pod, posture)),
        *(Warn(ID, text, about=(INJECT, annotation)) for text, annotation in injectors_without_token(pod, posture)),
    ]


def _explicit(
    subject: Subject,
    posture: Posture,
    needing: list[tuple[str, Container]],
    volumes: Mapping[str, Volume],
    source: str,
) -> list[Finding]:
    def change(edit: Edit, why: str = _WHY) -> Change:
        return Change(ID, edit, why, source)

    findings: list[Finding] = []
    spec = subject.pod.spec
    adopted = {volume.name for volume in spec.volumes or () if _is_adopted(volume, subject)}
    still_mounted: set[str] = set()
    needy = {path for path, _ in needing}
    for path, container in subject.containers():
        mounts = container.volume_mounts or []
        own: str | None = None
        for index in range(len(mounts) - 1, -1, -1):
            mount = mounts[index]
            if not is_token_path(mount.mount_path):
                still_mounted.add(mount.name)
            elif mount.name in adopted and (container.name, mount.name) not in subject.user_mounts:
                findings.append(change(Edit("remove", f"{path}/volumeMounts/{index}")))
            else:
                own = mount.name
                still_mounted.add(mount.name)
                if _is_foreign(container, mount.name, subject, posture):
                    at = f"{path}/volumeMounts/{index}/name"
                    findings.append(Violation(ID, at, mount.name, "no such mount", _FOREIGN, source))
        if path not in needy:
            continue
        if own is not None:
            findings += _useless_mount(container, own, volumes)
            continue
        if VOLUME in subject.user_volumes and _forgotten_by_operator(container, posture):
            findings.append(_users_volume(container))
            continue
        forgotten = spec.automount_service_account_token is False
        why = "it needs the API and was given no token" if forgotten else f"{container.name} needs the API"
        findings.append(change(_append(f"{path}/volumeMounts", TOKEN_MOUNT, present=bool(mounts)), why))
    removed = [
        index
        for index, volume in enumerate(spec.volumes or ())
        if _is_api_servers(volume, subject) and volume.name not in still_mounted
    ]
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
        if volume.name == VOLUME and needing and (fault := unusable(volume)):
            why = f"the volume {VOLUME} {fault}: rename it, so that vmguard can add its own and limit API access"
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
        about=(USE, container.name),
    )


def _no_token(container: Container, volumes: Mapping[str, Volume]) -> list[Warn]:
    """Warnings on a container that needs the API where the API server's own token is left as it is."""
    mounted = next((mount.name for mount in container.volume_mounts or () if is_token_path(mount.mount_path)), None)
    if mounted is not None:
        return _useless_mount(container, mounted, volumes)
    text = f"container {container.name!r} needs the Kubernetes API and has no token: its ServiceAccount or its pod says"
    text = f"{text} automountServiceAccountToken: false, or the pod has not been through an API server"
    return [Warn(ID, text, about=(SWITCH, container.name))]


def _useless_mount(container: Container, name: str, volumes: Mapping[str, Volume]) -> list[Warn]:
    """A warning if a container that needs the API cannot use the volume that is mounted at the token path."""
    volume = volumes.get(name)
    fault = unusable(volume) if volume and volume.secret is None else ""
    if not fault:
        return []
    text = f"container {container.name!r} needs the Kubernetes API, but the volume {name!r} at its token path {fault}"
    if name.startswith(PLUGIN_PREFIX):
        text = f"{text}: rename it, as the API server mounts every volume named {PLUGIN_PREFIX}* there"
        return [Warn(ID, text, about=(RENAME, name))]
    return [Warn(ID, f"{text}: mount it elsewhere", about=(MOVE, container.name, name))]


def _is_adopted(volume: Volume, subject: Subject) -> bool:
    """Whether the ServiceAccount admission plugin mounts it at the token path of every container without a mount there.

    Below Kubernetes 1.22 that is a volume of the account's token Secret.
    """
    if volume.name.startswith(PLUGIN_PREFIX):
        return True
    if subject.minor >= _SECRET_TOKENS_UNTIL or volume.secret is None:
        return False
    account = subject.pod.spec.service_account_name or "default"
    return (volume.secret.secret_name or "").startswith(f"{account}-token-")


def _is_foreign(container: Container, volume: str, subject: Subject, posture: Posture) -> bool:
    """Whether neither the resource nor the operator mounts a volume at the token path of one of their containers."""
    if subject.user_containers is None or (container.name, volume) in subject.user_mounts:
        return False
    if container.name in posture.component.containers:
        return volume != VOLUME
    return container.name in subject.user_containers


def _is_api_servers(volume: Volume, subject: Subject) -> bool:
    """Whether the ServiceAccount admission plugin made it: by its name and content, and no user wrote it."""
    if volume.name in subject.user_volumes or not _is_adopted(volume, subject):
        return False
    return volume.secret is not None or volume.holds_token


def _has_volume(volumes: list[Volume] | None) -> bool:
    return any(volume.name == VOLUME for volume in volumes or ())


def words(container: dict[str, Any]) -> list[str]:
    """The arguments that say that a container reads a Secret, and what shows that it calls the API."""
    found = arguments_of(container)
    return [*(each for each in found if each.partition("=")[0] in _READS_SECRET), *signs(container)]


RULE = Rule(
    id=ID, order=50, text=__doc__, fix=fix, pod=check, preview=check_users, words=words, annotations=ANNOTATIONS
)
