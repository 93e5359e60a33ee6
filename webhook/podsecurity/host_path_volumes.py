"""Volumes must not be directories or files of the node.

Fields:
    spec.volumes[*].hostPath

Allowed: absent. Every version.
"""

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed
from webhook.podsecurity.pod_view import PodView, object_at, objects_at, string_at


def _v1_0(pod: PodView) -> Forbidden | None:
    volumes = objects_at(pod.spec, "volumes")
    names = [string_at(volume, "name") for volume in volumes if object_at(volume, "hostPath") is not None]
    return Forbidden("hostPath volumes", listed("volume", names)) if names else None


CHECK = Check("hostPathVolumes", Level.BASELINE, ((OLDEST, _v1_0),))
