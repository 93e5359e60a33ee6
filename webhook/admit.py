"""The way of one request, from a decoded review to a decision, as one straight line.

    review -> facts (owner chain, parents, what is referenced) -> workload -> posture -> rules -> decision

Only the facts are waited for, within the deadline; everything after them is pure. `/mutate`, `/validate`, `/dry-run`,
the command line and the tests all walk this line.
"""

from collections import Counter

from webhook.admission.admission_review import (
    PodObject,
    Request,
    Review,
    decode_object,
    decode_pod,
    decode_raw,
    pod_object,
)
from webhook.decision_cache import DecisionCache, key_of
from webhook.facts import ONCE, Absent, Fact, FactSource, Found, Ref, Unknown
from webhook.objects import Metadata
from webhook.policy import decide
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.custom_resources import GROUP
from webhook.policy.decide import Decision, Enforce, Webhook
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.policy_references import policies_annotated, policies_named, policies_of_pod
from webhook.policy.posture import posture_of
from webhook.policy.preview import PodsOfResource, preview_pods
from webhook.policy.rules import check_ephemeral_container, check_pod, check_policy_reference
from webhook.policy.rules.subject import EphemeralContainer, PolicyReference, Subject
from webhook.policy.workload import (
    Identity,
    Link,
    UnknownOwner,
    Unmanaged,
    checked,
    identify,
    identify_by_labels,
    owner_of,
    owner_of_kept,
    parentage_of,
    user_volumes,
)
from webhook.settings import Settings
from webhook.text import nearest

ENFORCE_LABEL = "vmguard/enforce"
"""Namespace label that may tighten VMGUARD_ENFORCE there, never loosen it."""

EPHEMERAL = "ephemeralcontainers"
"""The subresource of pods by which people debug."""

MOST_EPHEMERAL = 20
"""New ephemeral containers of one request that are judged."""

MOST_POLICIES = 20
"""Different PodSecurityPolicies that are looked up for one request."""

_LONGEST_LABEL = 63
_MIRROR = "kubernetes.io/config.mirror"
_ORDER: tuple[Enforce, ...] = ("off", "warn", "deny")


class _Inquiry:
    """What one request asks of the source of facts, by its deadline; `links` is everything it has learnt, in order.

    `requester` is its namespace; `generation` names the generation of pods that it asks for, "" for none.
    """

    __slots__ = ("_deadline", "_generation", "_requester", "links", "source")

    def __init__(self, source: FactSource, deadline: float, requester: str, generation: str = "") -> None:
        self.source = source
        self._deadline = deadline
        self._requester = requester
        self._generation = generation
        self.links: tuple[Link, ...] = ()

    async def get(self, ref: Ref, *, remembered: bool = True) -> Fact:
        source, generation = self.source, self._generation
        known = source.at_hand(ref, generation) if remembered else None
        fact = checked(ref, known or await source.get(ref, self._deadline, generation, self._requester))
        self.links += (Link(ref, fact),)
        return fact

    async def owners(self, kind: str, metadata: Metadata, namespace: str) -> tuple[Link, ...]:
        """The controller chain from an object up, to the first fact that is not Found; asked for before all else."""
        source, generation = self.source, self._generation
        chain: list[Link] = []
        ref = owner_of(kind, metadata, namespace)
        while ref is not None:
            known = source.at_hand(ref, generation) or await source.get(ref, self._deadline, generation)
            fact = checked(ref, known)
            chain.append(Link(ref, fact))
            if type(fact) is not Found:
                break
            above = owner_of if fact.source == "live" else owner_of_kept
            ref = above(ref.kind, fact.object.metadata, namespace)
        self.links = tuple(chain)
        return self.links

    async def policies(
        self, named: list[tuple[str, str]], before: frozenset[tuple[str, str]] = frozenset()
    ) -> tuple[PolicyReference, ...]:
        """What is known of the policies that are named; `before` are the references that this request found there.

        One that was there is settled, at its place or at another where it is new, once for each place where it is gone.
        """
        facts: dict[str, Fact] = {}
        similar: dict[str, tuple[str, ...]] = {}
        existing: tuple[str, ...] | None = None
        references = []
        gone = Counter(name for _, name in before.difference(named))
        for place, name in named:
            ref = Ref("policy", "v1beta1", "PodSecurityPolicy", "", name)
            if name not in facts:
                remembered = place.startswith("Pod ")  # the plugin annotates every pod with a policy it has just used
                facts[name] = await self.get(ref, remembered=remembered) if len(facts) < MOST_POLICIES else _TOO_MANY
            fact = facts[name]
            if type(fact) is Absent and name not in similar:
                if existing is None:
                    existing = await self.source.names(ref, self._deadline, self._requester)
                similar[name] = nearest(name, existing)
            settled = (place, name) in before
            if not settled and gone[name]:
                gone[name] -= 1
                settled = True
            references.append(PolicyReference(name, place, fact, similar.get(name, ()), settled=settled))
        return tuple(references)


_TOO_MANY = Unknown(f"more than {MOST_POLICIES} are named", "live")


async def admit(
    review: Review,
    webhook: Webhook,
    source: FactSource,
    settings: Settings,
    deadline: float,
    alike: DecisionCache | None = None,
) -> tuple[Decision, tuple[Link, ...]]:
    """The decision on a review, and every fact that was asked for.

    `deadline` is a time of the running loop's clock, in seconds. `alike` remembers, for the same
    settings, decisions on pods that are alike; it makes nothing come out otherwise.

    Raises:
        ReviewError: the object in the review has a shape that no such object has.

    """
    request = review.request
    reason = _not_judged(request, webhook, settings)
    if reason:
        return decide.ignored(reason), ()
    if request.kind.group:
        return await _resource(request, source, settings, deadline)
    if request.sub_resource:
        return await _ephemeral(request, source, settings, deadline)
    sent = pod_object(request.object)
    if _MIRROR in (sent.metadata.annotations or ()) and request.from_node:
        return decide.ignored("mirror pod"), ()
    requester = request.namespace or ""
    inquiry = _Inquiry(source, deadline, requester, _generation(sent.metadata))
    decision = await _pod(sent, request, webhook, settings, inquiry, alike)
    if not decision.allowed and any(link.fact.source == "cache" for link in inquiry.links):
        # nobody is denied on a fact from memory
        inquiry = _Inquiry(source, deadline, requester, f"{ONCE}{request.uid}")
        decision = await _pod(sent, request, webhook, settings, inquiry, alike)
    return decision, inquiry.links


def _not_judged(request: Request, webhook: Webhook, settings: Settings) -> str:
    """Why a request is none that is judged, "" for one that is."""
    kind, operation = request.kind, request.operation
    pod = kind.kind == "Pod" and not kind.group
    if request.sub_resource and not (pod and request.sub_resource == EPHEMERAL and webhook == "validate"):
        return f"subresource {request.sub_resource}"
    if settings.watch_namespaces and (request.namespace or "") not in settings.watch_namespaces:
        return "namespace is not watched"
    if pod:
        return "" if operation == "CREATE" or request.sub_resource else f"operation {operation}"
    if kind.group == GROUP and (kind.kind in BY_KIND or kind.kind in PARENTS):
        return "" if operation in {"CREATE", "UPDATE"} else f"operation {operation}"
    return f"kind {kind.kind}"


async def _pod(
    sent: PodObject,
    request: Request,
    webhook: Webhook,
    settings: Settings,
    inquiry: _Inquiry,
    alike: DecisionCache | None,
) -> Decision:
    namespace, source = request.namespace or "", inquiry.source
    chain: tuple[Link, ...] = ()
    if not source.labels_suffice:
        chain = await inquiry.owners("Pod", sent.metadata, namespace)
    enforce = settings.enforce
    if webhook == "validate" and any(link.ref.group == GROUP and type(link.fact) is Found for link in chain):
        enforce = await _enforce(namespace, inquiry, settings)
    key = key_of(sent, chain, webhook, enforce, source.minor) if alike else None
    if alike and key and (kept := alike.get(key)):
        return kept
    identity = _whose(sent.metadata, namespace, source, chain)
    if isinstance(identity, Unmanaged):
        return decide.unmanaged(identity)
    if isinstance(identity, UnknownOwner):
        return decide.unknown(identity, settings)
    pod = decode_pod(sent)
    posture = posture_of(identity, settings)
    named = policies_of_pod(pod, namespace, posture)
    volumes = user_volumes(identity)
    subject = Subject(
        pod=pod,
        minor=source.minor,
        in_daemonset=identity.in_daemonset,
        run_as_platform=settings.run_as == "platform",
        harden_sidecars=settings.harden_sidecars,
        user_volumes=volumes,
        policies=await inquiry.policies(named) if named else (),
    )
    findings = tuple(check_pod(subject, posture))
    decision = decide.decide_pod(identity, posture, findings, webhook=webhook, settings=settings, enforce=enforce)
    if alike and key and not named:  # whether a policy exists is asked each time
        alike.keep(key, pod, decision, chain, volumes)
    return decision


def _whose(pod: Metadata, namespace: str, source: FactSource, chain: tuple[Link, ...]) -> Identity:
    return identify_by_labels(pod, namespace) if source.labels_suffice else identify(pod, chain)


async def _ephemeral(
    request: Request, source: FactSource, settings: Settings, deadline: float
) -> tuple[Decision, tuple[Link, ...]]:
    """The decision on new ephemeral containers: told of, never denied and never changed, as people debug at night."""
    raw, before = decode_raw(request.object), decode_raw(request.old_object)
    pod = decode_pod(pod_object(request.object))
    namespace = request.namespace or ""
    inquiry = _Inquiry(source, deadline, namespace)
    chain = () if source.labels_suffice else await inquiry.owners("Pod", pod.metadata, namespace)
    identity = _whose(pod.metadata, namespace, source, chain)
    if isinstance(identity, Unmanaged):
        return decide.unmanaged(identity), chain
    if isinstance(identity, UnknownOwner):
        return decide.unknown(identity, settings, may_refuse=False), chain
    posture = posture_of(identity, settings)
    had = {str(each.get("name")) for each in _ephemeral_containers(before)}
    new = [each for each in _ephemeral_containers(raw) if str(each.get("name")) not in had]
    findings = [
        finding
        for container in new[:MOST_EPHEMERAL]
        for finding in check_ephemeral_container(EphemeralContainer(container, raw["spec"], source.minor), posture)
    ]
    return decide.decide_ephemeral(identity, posture, tuple(findings)), chain


def _ephemeral_containers(pod: Raw) -> list[Raw]:
    return objects_of(object_of(pod.get("spec")).get("ephemeralContainers"))


async def _resource(
    request: Request, source: FactSource, settings: Settings, deadline: float
) -> tuple[Decision, tuple[Link, ...]]:
    custom = decode_object(request.object)
    if custom is None:
        return decide.ignored("no object"), ()
    if custom.metadata.deletion_timestamp:
        return decide.ignored("it is being deleted"), ()
    kind, namespace = request.kind, request.namespace or ""
    name = custom.metadata.name or custom.metadata.generate_name or request.name or ""
    ref = Ref(kind.group, kind.version, kind.kind, namespace, name)
    inquiry = _Inquiry(source, deadline, namespace)
    parentage = parentage_of(await inquiry.owners(kind.kind, custom.metadata, namespace), kind.kind, name)
    spec = custom.spec or {}
    old = decode_object(request.old_object) if request.operation == "UPDATE" else None
    annotated = frozenset(policies_annotated(ref, spec))
    named = [*policies_named(ref, spec), *annotated]
    had = old.spec or {} if old else {}
    before = frozenset((*policies_named(ref, had), *policies_annotated(ref, had)))
    findings = [
        finding
        for each in await inquiry.policies(named, before)
        for finding in check_policy_reference(each, of_pod=(each.place, each.name) in annotated)
    ]
    pods_before = PodsOfResource(ref, had, parentage) if old else None
    preview = preview_pods(PodsOfResource(ref, spec, parentage), pods_before, settings, source.minor)
    findings += preview.findings
    decision = decide.decide_resource(str(ref), preview.postures, preview.predicted_levels, tuple(findings), settings)
    return decision, inquiry.links


async def _enforce(namespace: str, inquiry: _Inquiry, settings: Settings) -> Enforce:
    if settings.enforce == "deny":
        return settings.enforce
    fact = await inquiry.get(Ref("", "v1", "Namespace", "", namespace))
    label = (fact.object.metadata.labels or {}).get(ENFORCE_LABEL) if type(fact) is Found else None
    tightened: tuple[Enforce, ...] = tuple(level for level in _ORDER if level == label)
    return max(settings.enforce, *tightened, key=_ORDER.index) if tightened else settings.enforce


def _generation(metadata: Metadata) -> str:
    """The generation of its workload's pods that a pod is of, by the hash that its controller gave it."""
    labels = metadata.labels or {}
    hashed = labels.get("pod-template-hash") or labels.get("controller-revision-hash") or ""
    return hashed if len(hashed) <= _LONGEST_LABEL else ""  # no stored pod has a longer one
