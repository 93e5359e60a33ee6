"""file-owner: a container that changes the owner or the mode of files must be permitted to.

vmguard warns the person who applies the resource. It looks for chown, chgrp, chmod and setfacl of mounted folders, and
`install -o`, in commands, arguments and scripts.

Why: only root may give a file to another user, and only with the capability CHOWN. An init container with `chown` takes
the user of its pod, so in a strict pod it runs as user 65534. If a file has another owner, chown fails, and with the
init container the pod does not start. vmguard does not read files, so an audit reports CHECK. `runAsUser: 0` alone does
not help, as the pod has `runAsNonRoot: true`: the kubelet never starts the container, and an audit reports BREAKS. To
harden the container does not help either.

What to do: with a volume to which the kubelet applies fsGroup, remove the container, as it is not needed. Else give it
both fields:

    initContainers:
    - name: own
      image: busybox
      command: [chown, -R, "65534:65534", /vm-data]
      volumeMounts: [{name: vmstorage-db, mountPath: /vm-data}]
      securityContext: {runAsUser: 0, runAsNonRoot: false}

A namespace that enforces Pod Security `restricted` refuses a pod with such a container.
"""

from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.owner_changers import capability_of, faults, words
from webhook.policy.rules.root_permission import RESTRICTED_REFUSES, permitting
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import FlawedPod, PreviewedPod

ID = "file-owner"


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:  # noqa: ARG001 - the shape of the phase
    """Findings for the containers of one pod."""
    return [Warn(ID, text, about=(name,), fatal=refused) for name, text, refused in faults(pod.pod["spec"])]


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """Root and the capability, for this container alone."""
    name = finding.about[0] if isinstance(finding, Warn) else ""
    container = pod.container(name)
    context = permitting(container, pod.spec, capability_of(container))
    return Fix(pod.of_container(name, {"securityContext": context}), notes=(RESTRICTED_REFUSES,))


RULE = Rule(id=ID, order=65, text=__doc__, fix=fix, preview=check, words=words)
