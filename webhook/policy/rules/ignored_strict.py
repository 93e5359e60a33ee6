"""ignored-strict: `useStrictSecurity: true` has no effect where the same component has its own securityContext.

vmguard warns the person who applies a resource with both, if the pods lack a field that strict security would fill. It
does not warn where `useStrictSecurity` is the default of several components: at the root of a cluster, or in
`zoneCommon` with a context in the zone.

Why: a component's own securityContext takes the place of the strict one, even if it is empty. The operator does the
same. So the pods are weaker than the resource seems to say.

What to do: remove `securityContext`. Or write the missing fields into it:

    securityContext:
      runAsNonRoot: true
      runAsUser: 1000
      runAsGroup: 1000
      fsGroup: 1000
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}

Source: operator v0.42 to v0.76, and recorded pods.
"""

from webhook.policy.context_fields import ROWS_BY_NAME
from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.posture import Posture
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import FlawedPod, PreviewedPod
from webhook.policy.rules.wanted_context import nested

ID = "ignored-strict"

_MOST = 4


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:  # noqa: ARG001 - the shape of the phase
    """A warning with the fields that strict security would fill into the pod."""
    missing = pod.left_out
    if not missing:
        return []
    listed = ", ".join(name.replace("/", ".") for name in missing[:_MOST])
    more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
    text = f"useStrictSecurity: true has no effect beside securityContext, which leaves out {listed}{more}. Add"
    return [Warn(ID, f"{text} these fields to securityContext, or remove securityContext", about=missing)]


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:  # noqa: ARG001 - the shape of a fix
    """The strict values of the missing fields."""
    names = finding.about if isinstance(finding, Warn) else ()
    note = "Check that the container can run with these. To get all of strict security, remove securityContext instead."
    return Fix({"securityContext": nested({name: ROWS_BY_NAME[name].strict for name in names})}, notes=(note,))


RULE = Rule(id=ID, order=31, text=__doc__, fix=fix, preview=check)
