"""pod-security: the level of the Kubernetes Pod Security Standards that the pods of a resource reach.

Told to whoever applies a resource whose pods will not be `restricted`, the strictest level: the level they reach as
admitted, the one they would reach without vmguard where that differs, and the first reasons in the words of the API
server's own PodSecurity admission. A namespace that enforces a level (label `pod-security.kubernetes.io/enforce`)
refuses pods that do not reach it. `vmguard level -v` says the same of a pod in a file.
"""

from webhook.podsecurity import Level, Verdict
from webhook.policy.findings import Finding, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import PreviewedPod

ID = "pod-security"

_MOST = 3
_LONGEST = 220
"""Characters within which as many reasons are told as go in."""


def check(prospect: PreviewedPod, posture: Posture) -> list[Finding]:  # noqa: ARG001 - the shape of every foresight
    """The level of one pod, where it is not restricted."""
    if prospect.after.level == Level.RESTRICTED:
        return []
    texts = (f"Pod Security level {in_words(prospect.before, prospect.after, most)}" for most in range(_MOST, 1, -1))
    shortest = f"Pod Security level {in_words(prospect.before, prospect.after, 1)}"
    return [Warn(ID, next((text for text in texts if len(text) <= _LONGEST), shortest))]


def in_words(before: Verdict, after: Verdict, most: int | None = None) -> str:
    """Both levels and the first `most` reasons why the second is not restricted, all of them for None."""
    level = f"{after.level}" if before.level == after.level else f"{before.level} before, {after.level} after"
    told = [str(reason) for reason in after.reasons[:most]]
    if len(after.reasons) > len(told):
        told.append(f"and {len(after.reasons) - len(told)} more")
    return f"{level}; not restricted: {'; '.join(told)}" if told else level
