"""The errors of refused writes. `EndingError` is for a write to a namespace that is being deleted."""

from webhook.cluster.advice import Advise, general_advice
from webhook.cluster.collections import Collection
from webhook.cluster.permission import answered
from webhook.cluster.status import ends


class RefusedError(Exception):
    """The API server refused a write, or gave no answer; the text has the reason."""


class EndingError(RefusedError):
    """The namespace is being deleted, so the API server creates nothing in it. No person must act."""


def refusal(
    verb: str, resource: Collection, namespace: str, code: int, body: bytes, advise: Advise = general_advice
) -> RefusedError:
    """The error of an answer to a write."""
    kind = EndingError if ends(code, body) else RefusedError
    return kind(answered(verb, resource, namespace, code, body, advise))
