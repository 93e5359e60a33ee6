"""What the API server does not let us do, named by verb, resource and namespace, with the rule that would allow it.

What is listed and watched tells by itself. A look-up is needed first when a pod waits for it, so whether objects may be
read one by one is asked ahead, by a SelfSubjectAccessReview, which everyone who is authenticated may make.
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

from webhook.cluster.client import Client, UnreachableError
from webhook.cluster.collections import Collection
from webhook.cluster.status import reason, status_of
from webhook.telemetry.log import Log

_CANNOT = r'User ".*" cannot (\w+) resource "{}"'
"""What a 403 says that a rule would mend; a quota, an admission plugin or a grant beyond what is held says no such."""

MOST = 100
"""Missing permissions that are remembered: a cluster may have any number of namespaces."""

_SECONDS = 5.0


class Permissions:
    """What is forbidden just now, as far as it was met."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._missing: dict[tuple[str, str, str], str] = {}

    @property
    def missing(self) -> dict[str, str]:
        """Why not, by `VERB RESOURCE`, with the namespace where it is one."""
        return {" ".join(filter(None, key)): told for key, told in self._missing.items()}

    def lacks(self, verb: str, resource: Collection) -> bool:
        """Whether this is forbidden anywhere."""
        return any(key[:2] == (verb, str(resource)) for key in self._missing)

    def forbidden(self, verb: str, resource: Collection, namespace: str, why: str) -> str:
        """Remember and log that this is forbidden; the text for whoever grants permissions."""
        told = refusal(verb, resource, namespace, why)
        everywhere, here = (verb, str(resource), ""), (verb, str(resource), namespace)
        if everywhere not in self._missing and here not in self._missing and len(self._missing) < MOST:
            self._log.write("warning", "permission missing", resource=str(resource), reason=told)
            self._missing[here] = told
        return told

    def allowed(self, verb: str, resource: Collection, namespace: str) -> None:
        """Remember that this is allowed, in a namespace or ("") in all of them."""
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
            return  # not known; the reflector tells when nothing can be reached
        if said.status and said.status.allowed:
            self.allowed(verb, resource, namespace)
        else:
            self.forbidden(verb, resource, namespace, "the API server says so when asked")


_ADVICE = "; add to "
"""Between what is forbidden and the rule for vmguard's role."""


def without_advice(text: str) -> str:
    """The text of a refusal for a person, to whom the rules of vmguard's roles do not apply."""
    return text.partition(_ADVICE)[0]


def advised_rule(text: str) -> str:
    """The rule that the text of a refusal advises, "" for none."""
    return text.partition(_ADVICE)[2].partition(" the rule ")[2]


def refusal(verb: str, resource: Collection, namespace: str, why: str) -> str:
    """`may not list vmsingles.GROUP in namespace mon: WHY: let a Role there have …`."""
    if namespace:
        where, role = f"in namespace {namespace}", f"vmguard's role in namespace {namespace}"
    else:
        where, role = "in all namespaces" if resource.namespaced else "in the cluster", "vmguard's ClusterRole"
    rule = f'{{apiGroups: ["{resource.group}"], resources: ["{resource.plural}"], verbs: ["{verb}"]}}'
    return f"may not {verb} {resource} {where}: {why}{_ADVICE}{role} the rule {rule}"


def answered(verb: str, resource: Collection, namespace: str, code: int, body: bytes) -> str:
    """The text for an answer that is no success: what 401 and 403 forbid, and the rule to add where one would do."""
    why = reason(code, body)
    if code == 401:
        return f"may not {verb} {resource}: {why}; the API server does not take vmguard's credentials"
    lacking = re.search(_CANNOT.format(resource.plural), status_of(body).message) if code == 403 else None
    return refusal(lacking[1], resource, namespace, why) if lacking else why
