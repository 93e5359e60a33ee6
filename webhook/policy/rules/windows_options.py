"""Values of windowsOptions that the API server refuses, of a pod and of its containers. A part of `pod-validity`.

The API server checks them for pods of every operating system. Of the domain in a user name this checks only that it has
no backslash and no control character.
"""

import re
from collections.abc import Iterator

from webhook.name_forms import is_subdomain
from webhook.policy.json_access import Raw, object_of, objects_of

_FIELD = "windowsOptions"
_GROUPS = ("containers", "initContainers")
_LARGEST_SPEC = 64 * 1024
_LONGEST_USER = 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_USER = re.compile(r'["/:;|=,+*?<>@\[\]]')


def wrong_options(context: Raw) -> Iterator[tuple[Raw, str]]:
    """The options of one context that are wrong, and why."""
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


def of_host(spec: Raw) -> Iterator[tuple[str, tuple[Raw, str]]]:
    """What is wrong with processes of the host: JSON pointer of the pod's spec or the container, the field, and why."""
    pod = _host_process(spec)
    containers = [
        (f"/spec/{group}/{index}", _host_process(each))
        for group in _GROUPS
        for index, each in enumerate(objects_of(spec.get(group)))
    ]
    all_of_host = all(pod if own is None else own for _, own in containers)
    for holder, own in (*containers, ("/spec", pod)):
        field = {f"{_FIELD}.hostProcess": own}
        if holder != "/spec" and pod is not None and own is not None and own is not pod:
            yield holder, (field, f"the pod says {str(pod).lower()}")
        elif own is True and not all_of_host:
            yield holder, (field, "all containers of a pod must be processes of the host, or none")
        elif own is True and spec.get("hostNetwork") is not True:
            yield holder, (field, "processes of the host need hostNetwork: true")


def _host_process(holder: Raw) -> bool | None:
    value = object_of(object_of(holder.get("securityContext")).get(_FIELD)).get("hostProcess")
    return value if isinstance(value, bool) else None
