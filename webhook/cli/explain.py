"""`vmguard explain RULE`: what a rule id means, in the text of its record, and the table that the rule reads."""

import argparse
import inspect

from webhook.audit import admission_chain
from webhook.cli.usage import UsageError
from webhook.policy.rules import RULES
from webhook.text import quoted

_WORKLOAD = """workload: the resource of the operator that a pod belongs to, or why that is not known.

vmguard follows the controllers of a pod: ReplicaSet, Deployment, StatefulSet or DaemonSet, resource, and its parent. An
owner counts only when it is the controller and the object that is found has the UID of the reference. Labels count only
where nothing else is known.

- A pod whose owners lead elsewhere is unmanaged. vmguard does not change it.
- A kind or component of the operator that this version of vmguard does not know is an unknown kind. With
  VMGUARD_ENFORCE=deny vmguard denies its pods, else it allows them with a warning.
- Where an owner cannot be looked up, the pod is refused. With VMGUARD_UNKNOWN=allow it is let through unchanged.
- A resource with a field of the wrong JSON type is denied, and nothing is read from it. If only a prediction of its
  pods reads the field, such as `port`, that is a warning.

Why: a wrong user id can lock a database out of its files, so vmguard never guesses to whom a pod belongs.

What to do: for a missing right, add the rule that the message names. For an unknown kind, update vmguard, or exempt the
namespace:

    metadata: {labels: {vmguard.io/exempt: "true"}}

For a wrong type, write the right one:

    useStrictSecurity: true
    securityContext: {runAsUser: 1000}
"""

_POSTURE = """posture: what vmguard wants of the pods of a component, by its settings.

`vmguard review`, the log and audit annotations show two parts of it, each with the setting that it is set by.

The security context:

- `strict`: vmguard fills in the strict context and judges every field of it.
- `custom`: the component has a securityContext of its own. vmguard takes this in place of the strict one. An empty one
  (`{}`) opts out, so vmguard fills and judges nothing.
- `off`: vmguard fills and judges no field, as `useStrictSecurity` or VM_ENABLESTRICTSECURITY is false.

API access, which is the token for the Kubernetes API:

- `automount`: the API server mounts a token in every container, as is its default. vmguard changes nothing.
- `explicit`: only containers that need the API get a token. vmguard removes the others.

Why: a resource may need other settings than the whole cluster, so its own settings count first.

What to do: to change the posture, set these fields of the component, or the variables of vmguard:

    useStrictSecurity: true
    disableAutomountServiceAccountToken: true
"""

_RULES = {rule.id: rule.explanation for rule in RULES}

TEXTS = {
    **_RULES,
    admission_chain.ID: inspect.getdoc(admission_chain),
    "workload": _WORKLOAD.rstrip(),
    "posture": _POSTURE.rstrip(),
    "data-ownership": _RULES["volume-ownership"],
}
"""All texts by their ids. `data-ownership` is another name of a rule."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("rule", metavar="RULE", help="the id in brackets at the end of a warning: " + ", ".join(TEXTS))


def run(options: argparse.Namespace) -> int:
    """Print the text; an id may be copied with its brackets."""
    text = TEXTS.get(options.rule.strip("[]").lower())
    if text is None:
        raise UsageError(f"vmguard explain: no rule {quoted(options.rule)}; there are {', '.join(TEXTS)}")
    print(text)
    return 0
