"""Writes that the API server does not take: one error, and one for a namespace that is being deleted."""

from webhook.cluster.collections import Collection
from webhook.cluster.permission import answered
from webhook.cluster.status import ends


class RefusedError(Exception):
    """The API server did not take what was written, or gave no answer; the text says why."""


class EndingError(RefusedError):
    """Nothing can be made in a namespace that is being deleted, which is nobody's fault."""


def refusal(verb: str, resource: Collection, namespace: str, code: int, body: bytes) -> RefusedError:
    """The error of an answer to a write."""
    kind = EndingError if ends(code, body) else RefusedError
    return kind(answered(verb, resource, namespace, code, body))
