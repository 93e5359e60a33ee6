"""root-command: a container that runs a program which only root may run must run as root.

vmguard warns the person who applies the resource. In commands, arguments, hooks and scripts it looks for:

- `sysctl -w`, `mount`, `umount`, `modprobe`, `swapoff`, `blockdev`, `nsenter`, `iptables` and `ip route add`
- `apk add`, `apt-get install` and other package managers, `update-ca-certificates`
- `useradd`, `adduser` and the like, `setcap`, and `su-exec`, `gosu` and `chroot`, which change the user or the root
- scripts that write to /proc/sys or /sys

It says nothing of a script that asks for its user (`id -u`).

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

from webhook.policy.conditions import value_at
from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.json_access import Raw, joined
from webhook.policy.posture import Posture
from webhook.policy.rules.commands_run import ignores_failure
from webhook.policy.rules.root_permission import RESTRICTED_REFUSES, permitting, root_fault
from webhook.policy.rules.root_programs import RootAction, done_as_root, words
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import FlawedPod, PreviewedPod

ID = "root-command"

_READ_ONLY = ("securityContext", "readOnlyRootFilesystem")


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the user's containers of one pod."""
    spec = pod.pod["spec"]
    findings: list[Finding] = []
    for group, what in (("initContainers", "init container"), ("containers", "container")):
        for container in spec[group]:
            name = str(container["name"])
            done = None if name in posture.component.containers else done_as_root(container)
            fault = _fault(container, spec, done) if done else None
            if not done or not fault:
                continue
            why, fix = fault
            refused = "kubelet" in why
            fails = ": it fails" + (" and the pod may not start" if group == "initContainers" else "")
            ends = "" if refused else ": it may have no effect" if ignores_failure(container) else fails
            text = f"{what} {name!r} {done.text} {why}{ends}. {fix}"
            findings.append(Warn(ID, text, about=(name,), fatal=refused))
    return findings


def _fault(container: Raw, spec: Raw, done: RootAction) -> tuple[str, str] | None:
    """Why a container is not permitted to do it, and what to do; None where it is."""
    fault = root_fault(container, spec, done.by.capability)
    if not fault and done.by.changes_root and value_at(container, _READ_ONLY) is True:
        return "with a read-only root filesystem", "Give it readOnlyRootFilesystem: false"
    return fault


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """Root for this container alone, and what the program needs as root."""
    name = finding.about[0] if isinstance(finding, Warn) else ""
    container = pod.container(name)
    done = done_as_root(container)
    context = permitting(container, pod.spec, done.by.capability if done else "")
    if done and done.by.changes_root and value_at(container, _READ_ONLY) is True:
        context = joined(context, {"readOnlyRootFilesystem": False})
    return Fix(pod.of_container(name, {"securityContext": context}), notes=(RESTRICTED_REFUSES,))


RULE = Rule(id=ID, order=66, text=__doc__, fix=fix, preview=check, words=words)
