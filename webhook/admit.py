"""Decides one request, from a decoded review to a decision, without I/O.

    review -> facts (owner chain, parents, what is referenced) -> workload -> posture -> rules -> decision

`admit` is a generator: it yields a lookup for each fact that it needs, yields a request for the preview of a resource's
pods, and returns the decision. A driver runs it (`webhook/driver.py`). So `/mutate`, `/validate`, `/dry-run`, the
command line and the survey decide in the same way.
"""

from collections import Counter
from collections.abc import Collection

import msgspec

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
from webhook.facts import MOST_NAMES, Absent, Fact, Found, Lookup, Names, NotServed, Ref, Steps, Unknown
from webhook.name_forms import LONGEST_LABEL
from webhook.objects import KubeObject, Metadata, Pod
from webhook.policy import decide
from webhook.policy.components import BY_KIND, PARENTS
from webhook.policy.custom_resources import BY_KIND as KNOWN_KINDS
from webhook.policy.custom_resources import GROUP, nearest_kinds
from webhook.policy.decide import Decision, Webhook
from webhook.policy.enforcement import coverage, enforced_in, unknown_values
from webhook.policy.field_types import new_wrong_types, written_wrong_types, wrong_types
from webhook.policy.findings import Finding, Violation, Warn
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.pod_subject import subject_of
from webhook.policy.policy_references import policies_annotated, policies_named, policies_of_pod, policies_of_posture
from webhook.policy.posture import posture_of
from webhook.policy.preview import DecisionSteps, NotPreviewed, PodsOfResource, Preview, PreviewRequest
from webhook.policy.rules import check_ephemeral_container, check_pod, check_policy_reference, check_resource
from webhook.policy.rules.subject import EphemeralContainer, PolicyReference, ResourceObject
from webhook.policy.wording import postures_line
from webhook.policy.workload import (
    Identity,
    Link,
    UnknownKind,
    UnknownOwner,
    Unmanaged,
    cached_owner_of,
    identify,
    identify_by_labels,
    owner_of,
    parentage_of,
    unknown_kind_above,
)
from webhook.settings import Settings
from webhook.text import nearest

EPHEMERAL = "ephemeralcontainers"
"""The subresource of pods for debugging."""

MOST_EPHEMERAL = 20
"""Most new ephemeral containers of one request that are judged."""

MOST_POLICIES = 20
"""Most PodSecurityPolicies that a request looks up one by one; for more, it lists all of them once."""

_UNKNOWN_KIND = "unknown kind"
_MIRROR = "kubernetes.io/config.mirror"


class _Inquiry:
    """The lookups of one request; `links` has all facts of these lookups, in order.

    `requester` is the request's namespace; `generation` is the generation of its pods, "" for none. A `fresh` inquiry
    takes no fact from a cache.
    """

    __slots__ = ("_fresh", "_generation", "_requester", "links")

    def __init__(self, requester: str, generation: str = "", *, fresh: bool = False) -> None:
        self._requester = requester
        self._generation = generation
        self._fresh = fresh
        self.links: tuple[Link, ...] = ()

    def lookup(self, ref: Ref, *, fresh: bool = False) -> Lookup:
        """The lookup of one object; `found` takes its answer."""
        return Lookup(ref, self._generation, self._requester, self._fresh or fresh)

    def found(self, ref: Ref, answer: Fact) -> Fact:
        """The fact on one object: Absent if the answer is not the object that the reference names."""
        other = type(answer) is Found and ref.uid and answer.object.metadata.uid != ref.uid
        fact = Absent(answer.source, answer.age) if other else answer
        self.links += (Link(ref, fact),)
        return fact

    def owners(self, kind: str, metadata: Metadata, namespace: str) -> Steps[tuple[Link, ...]]:
        """The controller chain from an object up, to the first fact that is not Found."""
        before = len(self.links)
        ref = owner_of(kind, metadata, namespace)
        while ref is not None:
            fact = self.found(ref, (yield self.lookup(ref)))
            if type(fact) is not Found:
                break
            above = owner_of if fact.source == "live" else cached_owner_of
            ref = above(ref.kind, fact.object.metadata, namespace)
        return self.links[before:]

    def policies(
        self,
        named: list[tuple[str, str]],
        before: frozenset[tuple[str, str]] = frozenset(),
        *,
        by_plugin: Collection[tuple[str, str]] = (),
    ) -> Steps[tuple[PolicyReference, ...]]:
        """The state of the named policies; `before` are the references of the object before its update.

        For those `by_plugin` a cached fact suffices: the plugin annotates every pod with a policy that it has just
        used.

        A reference that the object had before is settled. One that moved to another place is settled too, once for each
        place that lost it.
        """
        facts: dict[str, Fact] = {}
        similar: dict[str, tuple[str, ...]] = {}
        existing: tuple[str, ...] | None = None
        references = []
        gone = Counter(name for _, name in before.difference(named))
        for place, name in named:
            ref = Ref("policy", "v1beta1", "PodSecurityPolicy", "", name)
            if name not in facts:
                fresh = (place, name) not in by_plugin
                if len(facts) < MOST_POLICIES:
                    facts[name] = self.found(ref, (yield self.lookup(ref, fresh=fresh)))
                else:
                    if existing is None:
                        existing = yield Names(ref, self._requester)
                    facts[name] = _among(existing or (), name)
            fact = facts[name]
            if type(fact) is Absent and name not in similar:
                if existing is None:
                    existing = yield Names(ref, self._requester)
                similar[name] = nearest(name, existing or ())
            settled = (place, name) in before
            if not settled and gone[name]:
                gone[name] -= 1
                settled = True
            references.append(PolicyReference(name, place, fact, similar.get(name, ()), settled=settled))
        return tuple(references)


def _among(existing: tuple[str, ...], name: str) -> Fact:
    """The fact on a policy from the names of all existing ones, if those are known."""
    if name in existing:
        return Found(KubeObject(Metadata(name=name)), "live")
    if existing and len(existing) < MOST_NAMES:
        return Absent("live")
    return Unknown(f"more than {MOST_POLICIES} policies are named", "live")


class _Admission(msgspec.Struct, frozen=True):
    """One request, and all other input of its decision except facts."""

    request: Request
    webhook: Webhook
    settings: Settings
    minor: int
    labels_suffice: bool
    cache: DecisionCache | None

    @property
    def namespace(self) -> str:
        return self.request.namespace or ""


def admit(
    review: Review,
    webhook: Webhook,
    settings: Settings,
    *,
    minor: int,
    labels_suffice: bool = False,
    cache: DecisionCache | None = None,
) -> DecisionSteps[tuple[Decision, tuple[Link, ...]]]:
    """The decision on a review, and all facts that it depends on.

    `minor` and `labels_suffice` are those of the `FactSource` that answers the lookups. `cache` has decisions with the
    same settings, except for `enforce` and `mode`; it changes no result.

    Raises:
        ReviewError: the object in the review does not have the shape of its kind.

    """
    request = review.request
    reason = _not_judged(request, webhook, settings)
    if reason == _UNKNOWN_KIND:
        return decide.unknown_resource(request.kind.kind, nearest_kinds(request.kind.kind)), ()
    if reason:
        return decide.ignored(reason), ()
    admission = _Admission(request, webhook, settings, minor, labels_suffice, cache)
    if request.kind.group:
        return (yield from _resource(admission))
    if request.sub_resource:
        return (yield from _ephemeral(admission))
    sent = pod_object(request.object)
    if _MIRROR in (sent.metadata.annotations or ()) and request.from_node:
        return decide.ignored("mirror pod"), ()
    inquiry = _Inquiry(admission.namespace, _generation(sent.metadata))
    decision = yield from _pod(sent, admission, inquiry)
    if not decision.allowed and any(link.fact.source == "cache" for link in inquiry.links):
        # vmguard denies nothing on a cached fact
        inquiry = _Inquiry(admission.namespace, fresh=True)
        decision = yield from _pod(sent, admission, inquiry)
    return decision, inquiry.links


def _not_judged(request: Request, webhook: Webhook, settings: Settings) -> str:
    """Why vmguard does not judge a request, "" if it does."""
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
    if kind.group == GROUP and kind.kind not in KNOWN_KINDS:
        return _UNKNOWN_KIND
    return decide.of_other_kind(kind.kind)


def _pod(sent: PodObject, admission: _Admission, inquiry: _Inquiry) -> Steps[Decision]:
    """The decision on a pod. It looks up the labels of the namespace only if they can lead to a denial."""
    decision = yield from _pod_by_settings(sent, admission, inquiry)
    if not decision.deniable or admission.labels_suffice:
        return decision
    settings, namespace = admission.settings, admission.namespace
    ref = Ref("", "v1", "Namespace", "", namespace)
    fact = inquiry.found(ref, (yield inquiry.lookup(ref)))
    if type(fact) is Unknown or type(fact) is NotServed:
        reason = fact.reason if type(fact) is Unknown else "the API server serves no Namespaces"
        return decide.enforcement_unknown(decision, namespace, reason, settings)
    labels = (fact.object.metadata.labels or {}) if type(fact) is Found else {}
    level = enforced_in(settings.enforce, labels)
    if level == settings.enforce:
        return decision
    return decide.under(decision, level, unknown_values(labels), webhook=admission.webhook, settings=settings)


def _pod_by_settings(sent: PodObject, admission: _Admission, inquiry: _Inquiry) -> Steps[Decision]:
    """The decision on a pod without the labels of its namespace."""
    namespace, settings, webhook = admission.namespace, admission.settings, admission.webhook
    chain: tuple[Link, ...] = ()
    if not admission.labels_suffice:
        chain = yield from inquiry.owners("Pod", sent.metadata, namespace)
    cache = admission.cache
    key = key_of(sent, chain, webhook, settings.enforce, settings.mode, admission.minor) if cache else None
    if cache and key and (cached := cache.get(key)):
        return cached
    identity = _identity(sent.metadata, admission, chain)
    if isinstance(identity, Unmanaged):
        return decide.unmanaged(identity)
    if isinstance(identity, UnknownOwner):
        return decide.unknown(identity, settings)
    if isinstance(identity, UnknownKind):
        return decide.unknown_kind(identity, settings, settings.enforce)
    pod = decode_pod(sent)
    posture = posture_of(identity, settings)
    annotated = policies_of_pod(pod, namespace)
    named = [*policies_of_posture(posture), *annotated]
    policies = (yield from inquiry.policies(named, by_plugin=annotated)) if named else ()
    subject = subject_of(identity, pod, settings, admission.minor, policies)
    findings = tuple(_with_container(finding, pod) for finding in check_pod(subject, posture))
    decision = decide.decide_pod(
        identity, posture, findings, webhook=webhook, settings=settings, enforce=settings.enforce
    )
    if cache and key and not named:  # vmguard checks each time whether a policy exists
        named_volumes = subject.user_volumes.union(name for _, name in subject.user_mounts)
        cache.add(key, pod, decision, chain, named_volumes)
    return decision


def _with_container(finding: Finding, pod: Pod) -> Finding:
    """A violation with the name of the container in its path; any other finding unchanged."""
    if type(finding) is not Violation or not finding.path.startswith(("/spec/containers/", "/spec/initContainers/")):
        return finding
    _, _, field, index, *_ = finding.path.split("/")
    containers = (pod.spec.containers if field == "containers" else pod.spec.init_containers) or []
    if not index.isdecimal() or int(index) >= len(containers):
        return finding
    return msgspec.structs.replace(finding, container=containers[int(index)].name)


def _identity(pod: Metadata, admission: _Admission, chain: tuple[Link, ...]) -> Identity:
    """The owner of a pod; a resource with a field of the wrong type is not used."""
    if admission.labels_suffice:
        return identify_by_labels(pod, admission.namespace)
    for ref, fact in ((link.ref, link.fact) for link in chain if link.ref.group == GROUP):
        if type(fact) is Found and (wrong := wrong_types(ref.kind, fact.object.spec or {})):
            return UnknownOwner(f"{ref}: {'; '.join(map(str, wrong))}; correct the type there")
    return identify(pod, chain)


def _ephemeral(admission: _Admission) -> Steps[tuple[Decision, tuple[Link, ...]]]:
    """The decision on new ephemeral containers, which are for debugging: reported, never denied and never changed."""
    request, settings = admission.request, admission.settings
    raw, before = decode_raw(request.object), decode_raw(request.old_object)
    pod = decode_pod(pod_object(request.object))
    namespace = admission.namespace
    chain: tuple[Link, ...] = ()
    if not admission.labels_suffice:
        chain = yield from _Inquiry(namespace).owners("Pod", pod.metadata, namespace)
    identity = _identity(pod.metadata, admission, chain)
    if isinstance(identity, Unmanaged):
        return decide.unmanaged(identity), chain
    if isinstance(identity, UnknownOwner):
        return decide.unknown(identity, settings, may_refuse=False), chain
    if isinstance(identity, UnknownKind):
        return decide.unknown_kind(identity, settings, "off"), chain
    posture = posture_of(identity, settings)
    had = {str(each.get("name")) for each in _ephemeral_containers(before)}
    new = [each for each in _ephemeral_containers(raw) if str(each.get("name")) not in had]
    findings = [
        finding
        for container in new[:MOST_EPHEMERAL]
        for finding in check_ephemeral_container(EphemeralContainer(container, raw["spec"], admission.minor), posture)
    ]
    return decide.decide_ephemeral(identity, posture, tuple(findings)), chain


def _ephemeral_containers(pod: Raw) -> list[Raw]:
    return objects_of(object_of(pod.get("spec")).get("ephemeralContainers"))


def _resource(admission: _Admission) -> DecisionSteps[tuple[Decision, tuple[Link, ...]]]:
    request, settings = admission.request, admission.settings
    custom = decode_object(request.object)
    if custom is None:
        return decide.ignored("no object"), ()
    if custom.metadata.deletion_timestamp:
        return decide.ignored("it is being deleted"), ()
    kind, namespace = request.kind, admission.namespace
    name = custom.metadata.name or custom.metadata.generate_name or request.name or ""
    ref = Ref(kind.group, kind.version, kind.kind, namespace, name)
    inquiry = _Inquiry(namespace)
    owners = yield from inquiry.owners(kind.kind, custom.metadata, namespace)
    parentage = parentage_of(owners, kind.kind, name)
    spec = custom.spec or {}
    old = decode_object(request.old_object) if request.operation == "UPDATE" else None
    wrong = written_wrong_types(ref.kind, spec)
    new = new_wrong_types(ref.kind, spec, old.spec or {}) if wrong and old else wrong
    if new:
        return decide.wrongly_typed(str(ref), new, settings, settled=False), inquiry.links
    annotated = frozenset(policies_annotated(ref, spec))
    named = [*policies_named(ref, spec), *annotated]
    had = old.spec or {} if old else {}
    before = frozenset((*policies_named(ref, had), *policies_annotated(ref, had)))
    findings: list[Finding] = [
        finding
        for each in (yield from inquiry.policies(named, before))
        for finding in check_policy_reference(each, of_pod=(each.place, each.name) in annotated)
    ]
    denied = any(type(finding) is Violation and finding.denies for finding in findings)
    if wrong and denied:
        return decide.decide_resource(str(ref), tuple(findings), settings), inquiry.links
    unchanged = old is not None and had == spec and old.metadata.owner_references == custom.metadata.owner_references
    if unchanged:  # the person who set these fields was warned then
        findings = [finding for finding in findings if type(finding) is not Warn]
    if wrong:
        decision = decide.wrongly_typed(str(ref), wrong, settings, settled=True)
        return msgspec.structs.replace(decision, warnings=()) if unchanged else decision, inquiry.links
    above = msgspec.structs.replace(custom.metadata, namespace=namespace)
    unknown = unknown_kind_above(kind.kind, above, owners)
    if unknown:
        return decide.unknown_parent(str(ref), unknown, tuple(findings), settings), inquiry.links
    pods = PodsOfResource(ref, spec, parentage)
    if settings.mode == "enforce" and denied:
        # a preview costs far more than this, and it could only add to the reasons
        postures = pods.postures(settings)
        decision = decide.decide_resource(
            str(ref), tuple(findings), settings, posture=postures_line(postures), postures=postures
        )
        return decision, inquiry.links
    if unchanged:
        return decide.decide_resource(str(ref), tuple(findings), settings), inquiry.links
    findings += check_resource(ResourceObject(ref.kind, decode_raw(request.object)))
    preview: Preview | NotPreviewed = yield PreviewRequest(pods, had if old else None, settings, admission.minor)
    if isinstance(preview, NotPreviewed):
        findings.append(preview.warning(str(ref)))
        return decide.decide_resource(str(ref), tuple(findings), settings), inquiry.links
    previewed: tuple[Finding, ...] = preview.findings
    if any(type(finding) is Warn and finding.noncompliant for finding in previewed):
        denied = yield from _denies_pods(admission, inquiry)
        previewed = decide.with_pods_denied(previewed) if denied else previewed
    decision = decide.decide_resource(
        str(ref),
        (*findings, *previewed),
        settings,
        posture=preview.posture,
        postures=preview.postures,
        predicted_levels=preview.predicted_levels,
    )
    return decision, inquiry.links


def _denies_pods(admission: _Admission, inquiry: _Inquiry) -> Steps[bool]:
    """Whether vmguard denies new noncompliant pods of the namespace, as far as the labels are known."""
    settings, namespace = admission.settings, admission.namespace
    ref = Ref("", "v1", "Namespace", "", namespace)
    fact = inquiry.found(ref, (yield inquiry.lookup(ref)))
    labels = (fact.object.metadata.labels or {}) if type(fact) is Found else {}
    is_enforced = coverage(settings.mode, namespace, labels) == "enforced"
    return is_enforced and enforced_in(settings.enforce, labels) == "deny"


def _generation(metadata: Metadata) -> str:
    """The generation of a pod in its workload, by the hash from its controller."""
    labels = metadata.labels or {}
    hashed = labels.get("pod-template-hash") or labels.get("controller-revision-hash") or ""
    return hashed if len(hashed) <= LONGEST_LABEL else ""  # no stored pod has a longer one
