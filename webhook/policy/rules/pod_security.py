"""pod-security: the level of the Kubernetes Pod Security Standards that the pods of a resource reach.

vmguard warns the person who applies a resource if its pods will not be `restricted`, the strictest level. The warning
has the level that they reach as admitted, and the level without vmguard if that differs. Then come the first reasons,
in the words of the API server's own PodSecurity admission.

Why: a namespace that enforces a level refuses pods that do not reach it.

What to do: correct the fields that the reasons name. `vmguard level -v FILE` gives all reasons for a pod in a file.
This makes most containers `restricted`:

    securityContext:
      runAsNonRoot: true
      runAsUser: 65534
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}

Where a pod needs more, enforce a lower level in its namespace:

    metadata: {labels: {pod-security.kubernetes.io/enforce: baseline}}
"""

from webhook.podsecurity import Level
from webhook.policy.findings import Finding, NothingToCopy, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import PreviewedPod
from webhook.policy.wording import levels_in_words

ID = "pod-security"

_MOST = 3
_LONGEST = 220
"""Characters that limit how many reasons a warning has."""


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:  # noqa: ARG001 - the shape of the phase
    """The level of one pod, where it is not restricted."""
    if pod.after.level == Level.RESTRICTED:
        return []
    texts = [f"Pod Security level {levels_in_words(pod.before, pod.after, most)}" for most in range(_MOST, 0, -1)]
    return [Warn(ID, next((text for text in texts if len(text) <= _LONGEST), texts[-1]))]


_WITHOUT = NothingToCopy("it sums up what other rules find, and each of them has its own fix")


RULE = Rule(id=ID, order=40, text=__doc__, fix=_WITHOUT, preview=check, new_pods_only=True)
