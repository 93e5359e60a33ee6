"""What Windows cannot run, of the windowsOptions of a pod and its containers. A part of `pod-validity`.

The API server looks at them whatever the pod's operating system. Of a user's name only what is wrong with any domain is
looked at here.
"""

import re
from collections.abc import Iterator
from typing import Any

from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.workload import is_subdomain

_FIELD = "windowsOptions"
_GROUPS = ("containers", "initContainers")
_LARGEST_SPEC = 64 * 1024
_LONGEST_USER = 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_USER = re.compile(r'["/:;|=,+*?<>@\[\]]')


def wrong_options(context: Raw) -> Iterator[tuple[dict[str, Any], str]]:
    """What is wrong with the options of one context, and why."""
    options = object_of(context.get(_FIELD))
    user, spec, name = (
        options.get(field) for field in ("runAsUserName", "gmsaCredentialSpec", "gmsaCredentialSpecName")
    )
    if isinstance(user, str) and not _is_user(user):
        yield {f"{_FIELD}.runAsUserName": user}, "that is no name of a Windows user"
    if isinstance(spec, str) and not 0 < len(spec.encode(errors="replace")) <= _LARGEST_SPEC:
        yield {f"{_FIELD}.gmsaCredentialSpec": spec}, "it must not be empty or over 64 KiB"
    if isinstance(name, str) and not is_subdomain(name):
        yield {f"{_FIELD}.gmsaCredentialSpecName": name}, "that is no name of an object"


def _is_user(name: str) -> bool:
    domain, _, user = name.rpartition("\\")
    if _CONTROL.search(name) or "\\" in domain:
        return False
    return (
        bool(user.strip(". ")) and len(user.encode(errors="replace")) <= _LONGEST_USER and not _NOT_IN_USER.search(user)
    )


def of_host(spec: Raw) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """What is wrong with processes of the host: list and name of the container, "" for the pod; what is said; why."""
    pod = _host_process(spec)
    containers = [
        (group, str(each.get("name") or ""), _host_process(each))
        for group in _GROUPS
        for each in objects_of(spec.get(group))
    ]
    all_of_host = all(pod if own is None else own for _, _, own in containers)
    for group, name, own in (*containers, ("", "", pod)):
        said = {f"{_FIELD}.hostProcess": own}
        if group and pod is not None and own is not None and own is not pod:
            yield group, name, said, f"the pod says {str(pod).lower()}"
        elif own is True and not all_of_host:
            yield group, name, said, "all containers of a pod must be processes of the host, or none"
        elif own is True and spec.get("hostNetwork") is not True:
            yield group, name, said, "processes of the host need hostNetwork: true"


def _host_process(holder: Raw) -> bool | None:
    value = object_of(object_of(holder.get("securityContext")).get(_FIELD)).get("hostProcess")
    return value if isinstance(value, bool) else None
