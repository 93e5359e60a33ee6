"""image-user: a container with runAsNonRoot and without runAsUser runs as the user of its image, which may not be root.

vmguard warns the person who applies a resource with such a container. It does not judge the user's own containers and
images from another place, as it does not know their users. With VMGUARD_RUN_AS=platform the platform sets a user, so
vmguard does not warn.

Why: the images of VictoriaMetrics, VictoriaLogs and VictoriaTraces name no user, so their containers run as root. With
`runAsNonRoot: true` and no `runAsUser` the kubelet does not start them (CreateContainerConfigError: container has
runAsNonRoot and image will run as root). The image of Alertmanager names its user, `nobody`. The kubelet cannot tell
whether that is root, and does not start it either.

What to do: set a user. Strict security sets this one:

    securityContext: {runAsNonRoot: true, runAsUser: 65534, runAsGroup: 65534, fsGroup: 65534}

A log collector must read files of the node as root:

    securityContext: {runAsNonRoot: false}

Source: kubelet 1.20 to 1.37; Dockerfiles of the images.
"""

import re

from webhook.policy.context_fields import NOBODY
from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.json_access import Raw, object_of
from webhook.policy.posture import Posture
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import FlawedPod, PreviewedPod

ID = "image-user"

_KNOWN = re.compile(r"(?:^|/)(?:victoriametrics/[^/]+|prom(?:etheus)?/alertmanager)$")
"""Repositories of the images in the component table; one that the resource does not name is such a one."""


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the operator's containers of one pod: one for each user of an image."""
    spec = pod.pod["spec"]
    if not pod.image_users or object_of(spec.get("os")).get("name") == "windows":
        return []
    refused: dict[str, list[str]] = {}
    for container in (*spec["containers"], *spec["initContainers"]):
        image = posture.component.images.get(str(container["name"]))
        if image is None or not _without_user(container, spec) or not _is_known(container.get("image")):
            continue
        if image.name:
            refused.setdefault(f"the user {image.name}, which the kubelet cannot check", []).append(container["name"])
        elif image.user == 0:
            refused.setdefault("root", []).append(container["name"])
    return [
        Warn(ID, _text(names, user, _is_collector(spec, posture)), about=tuple(names), fatal=True)
        for user, names in refused.items()
    ]


def _text(names: list[str], user: str, collector: bool) -> str:  # noqa: FBT001
    many = len(names) > 1
    who = f"containers {', '.join(map(repr, names))} have" if many else f"container {names[0]!r} has"
    them, images = ("them", "their images run") if many else ("it", "its image runs")
    what = f"{who} runAsNonRoot: true and no runAsUser, and {images} as {user}: the kubelet will not start {them}"
    return f"{what}. {'Remove runAsNonRoot' if collector else 'Add runAsUser: 65534 and fsGroup: 65534'}"


def _without_user(container: Raw, spec: Raw) -> bool:
    context = {**object_of(spec.get("securityContext")), **object_of(container.get("securityContext"))}
    return context.get("runAsNonRoot") is True and context.get("runAsUser") is None


def _is_known(image: object) -> bool:
    if not isinstance(image, str) or not image:
        return True
    repository, _, tag = image.partition("@")[0].rpartition(":")
    return bool(_KNOWN.search(repository if repository and "/" not in tag else image.partition("@")[0]))


def _is_collector(spec: Raw, posture: Posture) -> bool:
    """Whether the pod must run as root to read the files of the node."""
    mode = posture.component.daemonset
    paths = {object_of(volume.get("hostPath")).get("path") for volume in spec["volumes"]}
    return bool(mode and mode.runs_as_root and mode.data_path in paths)


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """A user that is not root, where runAsNonRoot stands; root for a collector of logs."""
    names = finding.about if isinstance(finding, Warn) else ()
    context: Raw = {"runAsUser": NOBODY, "runAsGroup": NOBODY, "fsGroup": NOBODY}
    notes = (f"Before you apply this, change the owner or group of existing files on its volumes to {NOBODY}.",)
    if _is_collector(pod.spec, pod.posture):
        context, notes = {"runAsNonRoot": False}, ("It reads files of the node as root.",)
    fields: Raw = {}
    if pod.posture.security_context == "custom":
        fields["securityContext"] = context
    of_container = {field: value for field, value in context.items() if field != "fsGroup"}
    for name in names:
        own = pod.contexts_set.get(name, {})
        if pod.posture.security_context != "custom" or own.get("runAsNonRoot") is True:
            more = pod.of_container(name, {"securityContext": of_container})
            fields |= {group: [*fields.get(group, []), *containers] for group, containers in more.items()}
    return Fix(fields, notes=notes)


RULE = Rule(id=ID, order=35, text=__doc__, fix=fix, preview=check)
