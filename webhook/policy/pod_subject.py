"""The input of the rules: a pod with the data of its resource. Pure.

It is the pod as sent, the pod as vmguard would admit it, or a running pod with the pod that will replace it.
"""

from collections.abc import Mapping

import msgspec

from webhook.objects import Metadata, Pod
from webhook.podsecurity import Verdict
from webhook.policy.json_access import Raw, object_of, objects_of
from webhook.policy.posture import Posture
from webhook.policy.rules.context_filling import left_out
from webhook.policy.rules.subject import FlawedPod, PolicyReference, PreviewedPod, ReplacedPod, Subject
from webhook.policy.rules.wanted_context import nested, wanted_context
from webhook.policy.volume_groups import VolumeGroup
from webhook.policy.volume_users import image_users, reported_users
from webhook.policy.workload import Workload, user_annotations, user_containers, user_mounts, user_volumes
from webhook.settings import Settings

_LISTS = ("containers", "initContainers", "volumes")


def subject_of(
    workload: Workload, pod: Pod, settings: Settings, minor: int, policies: tuple[PolicyReference, ...] = ()
) -> Subject:
    """The subject for a pod of a workload; `policies` are the PodSecurityPolicies that it names."""
    return Subject(
        pod=Pod(pod.spec, Metadata(annotations=pod.metadata.annotations)),  # no more than a key of the cache holds
        minor=minor,
        in_daemonset=workload.in_daemonset,
        run_as_platform=settings.run_as == "platform",
        harden_sidecars=settings.harden_sidecars,
        user_volumes=user_volumes(workload),
        user_mounts=user_mounts(workload),
        user_containers=user_containers(workload),
        user_annotations=user_annotations(workload),
        policies=policies,
    )


def previewed_pod(
    subject: Subject,
    posture: Posture,
    admitted: Raw,
    verdicts: tuple[Verdict, Verdict],
    earlier: Raw | None = None,
    *,
    is_new: bool = False,
) -> PreviewedPod:
    """A pod as it will be admitted, raw, with the Pod Security verdicts before and after; the last two are as there."""
    spec = admitted["spec"]
    as_admitted = (
        msgspec.structs.replace(subject, pod=msgspec.convert(admitted, Pod)) if posture.ignores_strict else None
    )
    return PreviewedPod(
        pod={**admitted, "spec": {**spec, **{field: objects_of(spec.get(field)) for field in _LISTS}}},
        minor=subject.minor,
        before=verdicts[0],
        after=verdicts[1],
        earlier=earlier,
        is_new=is_new,
        filling=nested(wanted_context(subject, posture)[1]),
        image_users={} if subject.run_as_platform else image_users(posture.component),
        run_as_platform=subject.run_as_platform,
        left_out=left_out(as_admitted, posture) if as_admitted else (),
    )


def flawed_pod(workload: Workload, posture: Posture, pod: Raw, subject: Subject) -> FlawedPod:
    """The pod as rules make fixes for it; `pod` is raw, as vmguard would admit it."""
    of_pod, of_container = wanted_context(subject, posture)
    return FlawedPod(pod, subject.minor, workload, posture, nested(of_pod), nested(of_container))


def replaced_pod(
    workload: Workload, running: Raw, admitted: Raw, settings: Settings, groups: Mapping[str, VolumeGroup] | None = None
) -> ReplacedPod:
    """A running pod of a workload and the pod in its place, both raw; `groups` is as in ReplacedPod."""
    return ReplacedPod(
        running=running["spec"],
        admitted=admitted["spec"],
        namespace=workload.namespace,
        name=str(object_of(running.get("metadata")).get("name")),
        image_users=image_users(workload.component),
        reported_users=reported_users(object_of(running.get("status"))),
        groups=groups or {},
        operators=frozenset(workload.component.containers),
        run_as_platform=settings.run_as == "platform",
    )
