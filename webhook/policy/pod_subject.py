"""The subjects of the rules: a pod with what its resource brings to it, and a pod with the one in its place. Pure."""

from collections.abc import Mapping

from webhook.objects import Metadata, Pod
from webhook.policy.json_access import Raw, object_of
from webhook.policy.posture import Posture
from webhook.policy.rules.subject import FlawedPod, PolicyReference, ReplacedPod, Subject
from webhook.policy.rules.wanted_context import nested, wanted_context
from webhook.policy.volume_groups import VolumeGroup
from webhook.policy.volume_users import image_users, reported_users
from webhook.policy.workload import Workload, user_annotations, user_containers, user_mounts, user_volumes
from webhook.settings import Settings


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
        image_users={} if settings.run_as == "platform" else image_users(workload.component),
        reported_users=reported_users(object_of(running.get("status"))),
        groups=groups or {},
        operators=frozenset(workload.component.containers),
    )
