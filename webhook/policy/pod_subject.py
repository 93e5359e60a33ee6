"""The subject of the rules: a pod with what its resource brings to it. Pure."""

from webhook.objects import Metadata, Pod
from webhook.policy.rules.subject import PolicyReference, Subject
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
