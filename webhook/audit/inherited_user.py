"""A container of the user's own that inherits another user from its pod.

vmguard leaves such a container as it is, but the context of the pod holds for it too where it sets no user itself. What
user its image has, an audit cannot know, unless the running container reports it.
"""

from webhook.audit.data_ownership import command, resource_yaml
from webhook.audit.recreated_pod import RecreatedPod, new_users
from webhook.audit.report import ReportedFinding
from webhook.policy.json_access import object_of
from webhook.text import one_line

ID = "sidecar"

_LONGEST = 400


def _look(change: RecreatedPod, container: str) -> str:
    return f"{command(change, container, 'id', '-u')}  # then set it as runAsUser of the container\n"


def check(change: RecreatedPod) -> list[ReportedFinding]:
    """One finding for each such container."""
    operators = change.workload.component.containers
    findings = []
    for container, before, after in new_users(change):
        name = str(container.get("name"))
        own = object_of(container.get("securityContext")).get("runAsUser")
        if name in operators or own is not None:
            continue
        now = "the user of its image" if before is None else f"user {before}"
        text = f"container {name!r} inherits user {after} from the pod; now it runs as {now}"
        keep = {"name": name, "securityContext": {"runAsUser": before, "runAsNonRoot": bool(before)}}
        fix = resource_yaml(change.workload, {"containers": [keep]}) if before is not None else _look(change, name)
        findings.append(ReportedFinding(ID, "CHECK", one_line(text, _LONGEST), fix))
    return findings
