"""admission: what the API server's own chain of admission makes of a predicted pod.

Mutating webhooks and policies of others may change a pod before or after vmguard. Labels of a namespace decide whether
vmguard is called. Where one of these is not known, the verdict is `unknown`.

Why: the audit predicts what vmguard does. It cannot run the webhooks of others.

What to do: let the API server answer. With `vmguard audit --verify` the audit creates the predicted pod as a dry run.
Then Pod Security, quotas and all webhooks of the cluster answer as they would. Where a right is missing, add its rule
to the audit's ClusterRole (`vmguard manifests --role audit` prints all of them):

    rules:
    - {apiGroups: [""], resources: [namespaces], verbs: [get, list]}
    - {apiGroups: [admissionregistration.k8s.io], resources: [mutatingwebhookconfigurations], verbs: [get, list]}
"""

import shlex

from webhook.policy.enforcement import EXCLUDED, EXEMPT
from webhook.text import printable

ID = "admission"
"""The id of these findings."""

ASK = "vmguard audit --verify  # asks the API server by a dry run\n"
"""The command that shows what others change."""

WEBHOOKS = "kubectl get mutatingwebhookconfigurations  # what may change the pod\n"
"""The command that lists others that change pods."""

MUTATIONS = "mutatingwebhookconfigurations"


def right(group: str, resource: str, verb: str) -> str:
    """The rule that gives a right to the audit, to copy: for a ClusterRole, or a Role in the namespace."""
    return f"# the rule to add to the role of the audit\n{rule(group, resource, verb)}\n"


def rule(group: str, resource: str, verb: str) -> str:
    """One rule of a role, in YAML."""
    return f'{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: ["{verb}"]}}'


def calling(namespace: str) -> str:
    """What makes the API server call vmguard for the pods of a namespace, to copy."""
    if namespace == EXCLUDED:
        return f"# Nothing: vmguard is called for no pod of {EXCLUDED}, so that a cluster can start without it.\n"
    place = printable(shlex.quote(namespace))
    return f"kubectl label namespace {place} {EXEMPT}-  # vmguard is called for its pods then\n"
