"""A vmguard is registered in a control plane: the product's own configurations, by URL, until the end of a block.

They can be narrowed to namespaces with a label, so that many servers can be registered in one control plane and other
tests' pods are left alone.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.controlplane.api import ApiError, Object, wait_for
from tests.controlplane.plane import ControlPlane
from webhook.manifests.webhooks import Url, configurations
from webhook.policy.custom_resources import GROUP
from webhook.policy.workload import MANAGED_BY

LABEL = "vmguard-test"

_COUNT = itertools.count(1)
PROBES: dict[str, Object] = {
    "[workload]": {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "labels": dict([MANAGED_BY])},
        "spec": {"containers": [{"name": "probe", "image": "probe"}]},
    },
    "podSecurityPolicyName": {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "VMSingle",
        "metadata": {"name": "probe"},
        "spec": {"podSecurityPolicyName": "there-is-none"},
    },
}
"""What a webhook of each configuration says of a thing, and that thing; the API server learns of each by itself."""


@contextmanager
def registered(
    plane: ControlPlane,
    base: str,
    ca: bytes,
    label: str = "",
    failure_policy: str | None = None,
    seconds: int | None = None,
) -> Iterator[None]:
    """Both configurations, asked when the block begins, for namespaces with this value of LABEL; "" is all.

    `failure_policy` and `seconds` to wait are the product's own where none are given.
    """
    made = []
    try:
        for configuration in configurations(Url(base), ca):
            if label:
                configuration["metadata"]["name"] = f"m-{label}"
            for webhook in configuration["webhooks"]:
                if label:
                    webhook.setdefault("namespaceSelector", {})["matchLabels"] = {LABEL: label}
                webhook["failurePolicy"] = failure_policy or webhook["failurePolicy"]
                webhook["timeoutSeconds"] = seconds or webhook["timeoutSeconds"]
            made.append(plane.api.create(configuration))
        if failure_policy != "Ignore":  # then nothing tells whether a webhook that is down was asked
            _wait_until_asked(plane, label)
        yield
    finally:
        for each in made:
            plane.api.delete_if_there(each["apiVersion"], each["kind"], each["metadata"]["name"])


def _wait_until_asked(plane: ControlPlane, label: str) -> None:
    """Until the API server has learnt of both configurations; it takes a moment."""
    namespace = plane.namespace(f"asked-{next(_COUNT)}", {LABEL: label} if label else None)

    def asked(about: str) -> bool:
        try:
            plane.api.create(PROBES[about], namespace, dryRun="All")
        except (ApiError, httpx.TransportError) as error:
            return about in str(error) or "failed calling webhook" in str(error)  # one that is down is asked too
        return any(about in warning for warning in plane.api.warnings)

    for about in PROBES:
        wait_for(lambda about=about: asked(about), f"the webhook {label} to be asked about {about}")
