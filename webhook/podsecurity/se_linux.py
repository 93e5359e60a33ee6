"""Pods must not choose an SELinux user or role, and only container types.

Fields, of the pod and of every kind of container:
    securityContext.seLinuxOptions.type
        Allowed: absent, "", "container_t", "container_init_t", "container_kvm_t"; from 1.31 "container_engine_t".
    securityContext.seLinuxOptions.user, securityContext.seLinuxOptions.role
        Allowed: absent, "".

Every version.
"""

from functools import partial

from webhook.podsecurity.check import OLDEST, Check, Forbidden, Level, listed, setters
from webhook.podsecurity.pod_view import PodView, object_at, string_at

_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
_ENGINE_SINCE = 31
_UNSETTABLE = ("user", "role")


def types(minor: int) -> frozenset[str]:
    """The types that confine a container at Kubernetes 1.`minor`."""
    return _TYPES | {"container_engine_t"} if minor >= _ENGINE_SINCE else _TYPES


def _judge(allowed: frozenset[str], pod: PodView) -> Forbidden | None:
    bad_types: set[str] = set()
    bad_fields: set[str] = set()
    by_pod = False
    names: list[str] = []
    for container, security in ((None, pod.security), *((each, each.security) for each in pod.containers)):
        options = object_at(security, "seLinuxOptions")
        if not options:
            continue
        wrong_type = {string_at(options, "type")} - allowed
        wrong_fields = {field for field in _UNSETTABLE if string_at(options, field)}
        if not wrong_type and not wrong_fields:
            continue
        bad_types |= wrong_type
        bad_fields |= wrong_fields
        if container is None:
            by_pod = True
        else:
            names.append(container.name)
    if not by_pod and not names:
        return None
    data = [listed("type", sorted(bad_types))] if bad_types else []
    data += [f"{field} may not be set" for field in _UNSETTABLE if field in bad_fields]
    return Forbidden(
        "seLinuxOptions",
        f"{setters(names, pod=by_pod)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}",
    )


CHECK = Check(
    "seLinuxOptions",
    Level.BASELINE,
    tuple((minor, partial(_judge, types(minor))) for minor in (OLDEST, _ENGINE_SINCE)),
)
