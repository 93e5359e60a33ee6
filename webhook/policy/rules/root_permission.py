"""Whether a container may do what only root may, and the fields that permit it. A part of other rules."""

from webhook.policy.conditions import value_at
from webhook.policy.json_access import Raw, object_of
from webhook.policy.rules.commands_run import texts
from webhook.policy.volume_users import ROOT, lacks, user_of

RESTRICTED_REFUSES = 'A namespace that enforces "restricted" refuses a pod with this container.'
AS_ROOT: Raw = {"runAsUser": ROOT, "runAsNonRoot": False}
"""The fields of a container's security context that make it root in a pod that must not be."""

ROOT_CONTEXT = "securityContext: {runAsUser: 0, runAsNonRoot: false}"
"""The same for a person."""

_NEVER_BY_DEFAULT = frozenset({"NET_ADMIN", "SYS_ADMIN", "SYS_MODULE"})
"""Capabilities that container runtimes give to no container by themselves."""


def root_fault(container: Raw, spec: Raw, capability: str) -> tuple[str, str] | None:
    """Why a container is not permitted to do something, and what to do.

    `capability` is what root needs for it, "" for nothing. None where it is permitted, or where its user is not known.
    """
    context = _context(container, spec)
    user, non_root = user_of(container, spec, {}), context.get("runAsNonRoot") is True
    if user is None and not non_root:
        return None
    if user != ROOT:
        who = "another user than root" if user is None else f"user {user}"
        return f"as {who}", f"Give it {ROOT_CONTEXT}"
    if non_root:
        return "as root, but runAsNonRoot is true: the kubelet will not start it", "Give it runAsNonRoot: false too"
    if capability and lacks(context, capability):
        return f"without the capability {capability}", f"Give it capabilities: {{add: [{capability}]}}"
    return None


def permitting(container: Raw, spec: Raw, capability: str) -> Raw:
    """The fields of a container's security context that permit it."""
    context = _context(container, spec)
    fields: Raw = {**AS_ROOT}
    added = texts(value_at(context, ("capabilities", "add")))
    by_default = capability in _NEVER_BY_DEFAULT and context.get("privileged") is not True
    if capability and (lacks(context, capability) or (by_default and not {"ALL", capability}.intersection(added))):
        fields["capabilities"] = {"add": [*added, capability]}
    return fields


def _context(container: Raw, spec: Raw) -> Raw:
    return {**object_of(spec.get("securityContext")), **object_of(container.get("securityContext"))}
