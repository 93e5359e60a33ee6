"""Missing permissions of vmguard, by verb, resource and namespace, with the rule that would grant them.

A list or a watch that fails shows its own missing permission. A lookup happens only when a pod waits for it. So vmguard
checks in advance whether it may read objects one by one. It uses a SelfSubjectAccessReview, which every authenticated
account may make.
"""

import re
from collections.abc import Awaitable

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    AuthorizationV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
)

from webhook.cluster.advice import Advise, general_advice
from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import Collection
from webhook.cluster.status import reason, status_of
from webhook.telemetry.log import Log

_CANNOT = r'User ".*" cannot (\w+) resource "{}"'
"""The text of a 403 that a rule would fix. A quota, an admission plugin or a forbidden grant has another text."""

MOST = 100
"""Most missing permissions that are stored: a cluster may have any number of namespaces."""

_SECONDS = 5.0


class Permissions:
    """The permissions that are missing now, as far as vmguard has needed them."""

    def __init__(self, log: Log, advise: Advise = general_advice) -> None:
        self._log = log
        self._advise = advise
        self._missing: dict[tuple[str, str, str], str] = {}

    @property
    def missing(self) -> dict[str, str]:
        """The reasons by `VERB RESOURCE`, with the namespace if it is one."""
        return {" ".join(filter(None, key)): told for key, told in self._missing.items()}

    def lacks(self, verb: str, resource: Collection) -> bool:
        """Whether this is forbidden anywhere."""
        return any(key[:2] == (verb, str(resource)) for key in self._missing)

    def forbidden(self, verb: str, resource: Collection, namespace: str, why: str) -> str:
        """Store and log that this is forbidden; return the text for the person who grants permissions."""
        text = refusal(verb, resource, namespace, why, self._advise)
        everywhere, here = (verb, str(resource), ""), (verb, str(resource), namespace)
        if everywhere not in self._missing and here not in self._missing and len(self._missing) < MOST:
            self._log.write("warning", "permission missing", resource=str(resource), reason=text)
            self._missing[here] = text
        return text

    def allowed(self, verb: str, resource: Collection, namespace: str) -> None:
        """Store that this is allowed, in a namespace or ("") in all of them."""
        if not self._missing:
            return
        granted = [key for key in self._missing if key[:2] == (verb, str(resource)) and namespace in {"", key[2]}]
        for key in granted:
            del self._missing[key]
            self._log.write("info", "permission granted", resource=str(resource), verb=verb, namespace=key[2])

    async def ask(self, client: Client, verb: str, resource: Collection, namespace: str) -> None:
        """Ask whether something is allowed, in a namespace or ("") in all of them."""
        asked = V1ResourceAttributes(verb=verb, group=resource.group, resource=resource.plural, namespace=namespace)
        review = V1SelfSubjectAccessReview(spec=V1SelfSubjectAccessReviewSpec(resource_attributes=asked))

        def ask(api: ApiClient) -> Awaitable[V1SelfSubjectAccessReview]:
            answer: Awaitable[V1SelfSubjectAccessReview] = AuthorizationV1Api(api).create_self_subject_access_review(
                review
            )
            return answer

        try:
            said = await client.call("create", "selfsubjectaccessreviews", ask, _SECONDS)
        except (UnreachableError, ApiException):
            return  # not known; the reflector reports an API server that does not answer
        if said.status and said.status.allowed:
            self.allowed(verb, resource, namespace)
        else:
            client.count_refusal(verb, resource)
            self.forbidden(verb, resource, namespace, "the API server says so when asked")


_ADVICE = "; add to "
"""The text between the refusal and the rule for vmguard's role."""


def without_advice(text: str) -> str:
    """The text of a refusal for a person, to whom the rules of vmguard's roles do not apply."""
    return text.partition(_ADVICE)[0]


def without_command(text: str) -> str:
    """The text of a refusal for the owner of a pod: an Event has 1024 characters, and must not end within a command."""
    return text.partition(": kubectl ")[0]


def advised_rule(text: str) -> str:
    """The rule that the text of a refusal advises, "" for none."""
    return text.partition(_ADVICE)[2].partition(" the rule ")[2]


def refusal(verb: str, resource: Collection, namespace: str, why: str, advise: Advise = general_advice) -> str:
    """`may not list vmsingles.GROUP in namespace mon: WHY; add to ROLE the rule RULE`."""
    everywhere = "in all namespaces" if resource.namespaced else "in the cluster"
    where = f"in namespace {namespace}" if namespace else everywhere
    return f"may not {verb} {resource} {where}: {why}{_ADVICE}{advise(verb, resource, namespace)}"


def answered(
    verb: str, resource: Collection, namespace: str, code: int, body: bytes, advise: Advise = general_advice
) -> str:
    """The text for a failed answer: what 401 and 403 forbid, and the rule to add if one would help."""
    why = reason(code, body)
    if code == 401:
        return f"may not {verb} {resource}: {why}; the API server does not take vmguard's credentials"
    lacking = re.search(_CANNOT.format(resource.plural), status_of(body).message) if code == 403 else None
    return refusal(lacking[1], resource, namespace, why, advise) if lacking else why
