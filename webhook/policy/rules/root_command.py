"""root-command: a container that runs a program which only root may run must run as root.

vmguard warns the person who applies the resource. In commands, arguments, hooks and scripts it looks for:

- `sysctl -w`, `mount`, `umount`, `modprobe`, `swapoff`, `blockdev`, `iptables` and `ip route add`
- `apk add`, `apt-get install` and other package managers, `update-ca-certificates`
- `useradd`, `adduser` and the like, `setcap`, and `su-exec`, `gosu` and `chroot`, which change the user or the root
- scripts that write to /proc/sys or /sys

Why: a container of the user takes the user of its pod, so in a strict pod it runs as user 65534. A process that is not
root has no capabilities, also in a privileged container. The program fails, and with an init container the pod does not
start. vmguard does not know whether a script goes on after that, so an audit reports CHECK.

What to do: use an image that has what you install there, or set a kernel parameter on the node. Else run this container
as root, with both fields:

    initContainers:
    - name: sysctl
      image: busybox
      command: [sysctl, -w, vm.max_map_count=262144]
      securityContext: {privileged: true, runAsUser: 0, runAsNonRoot: false}

A namespace that enforces Pod Security `restricted` refuses a pod with such a container.
"""

from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.json_access import Raw, object_of
from webhook.policy.posture import Posture
from webhook.policy.rules.commands_run import ignores_failure
from webhook.policy.rules.owner_changers import RESTRICTED_REFUSES
from webhook.policy.rules.root_programs import done_as_root, words
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import FlawedPod, PreviewedPod
from webhook.policy.volume_users import ROOT, user_of

ID = "root-command"


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the user's containers of one pod."""
    spec = pod.pod["spec"]
    findings: list[Finding] = []
    for group, what in (("initContainers", "init container"), ("containers", "container")):
        for container in spec[group]:
            name, user = str(container["name"]), user_of(container, spec, {})
            context = {**object_of(spec.get("securityContext")), **object_of(container.get("securityContext"))}
            not_root = context.get("runAsNonRoot") is True if user is None else user != ROOT
            if name in posture.component.containers or not not_root or not (done := done_as_root(container)):
                continue
            who = "another user than root" if user is None else f"user {user}"
            fails = "it fails" + (" and the pod may not start" if group == "initContainers" else "")
            if ignores_failure(container):
                fails = "it may have no effect"
            text = f"{what} {name!r} {done} as {who}: only root may, so {fails}"
            findings.append(Warn(ID, f"{text}. Give it securityContext: {_INLINE}", about=(name,)))
    return findings


_CONTEXT: Raw = {"runAsUser": ROOT, "runAsNonRoot": False}
_INLINE = "{runAsUser: 0, runAsNonRoot: false}"


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """Root for this container alone."""
    name = finding.about[0] if isinstance(finding, Warn) else ""
    return Fix(pod.of_container(name, {"securityContext": _CONTEXT}), notes=(RESTRICTED_REFUSES,))


RULE = Rule(id=ID, order=66, text=__doc__, fix=fix, preview=check, words=words)
