"""A vmguard is registered in a control plane: the product's own configurations, by URL, until the end of a block.

They can be narrowed to namespaces with a label, so that many servers can be registered in one control plane and other
tests' pods are left alone.
"""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from tests.controlplane.api import ApiError, Object, wait_for
from tests.controlplane.plane import ControlPlane
from webhook.manifests.webhooks import Url, configurations
from webhook.policy.custom_resources import GROUP
from webhook.policy.workload import MANAGED_BY

LABEL = "vmguard-test"
FINAL_PODS = "final-pods.vmguard.io"

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
    *,
    failure_policies: Mapping[str, str] | None = None,
    enforce_deny: bool = False,
    final_pods: bool = False,
    wait: bool = True,
) -> Iterator[None]:
    """Both configurations, called when the block begins, for namespaces with this value of LABEL; "" is all.

    `failure_policy` of all entries, `failure_policies` of some by name, and `seconds` to wait are the product's own
    where none are given. Without `wait` the block begins at once. With `final_pods` the API server also sends
    every final pod to `/validate`, which no entry of the product does where nothing is denied.
    """
    made = []
    try:
        mutating, validating = configurations(Url(base), ca, enforce_deny=enforce_deny)
        if final_pods:
            validating["webhooks"].append(_final_pods(mutating["webhooks"][0], base))
        for configuration in mutating, validating:
            if label:
                configuration["metadata"]["name"] = f"m-{label}"
            for webhook in configuration["webhooks"]:
                if label:
                    webhook.setdefault("namespaceSelector", {})["matchLabels"] = {LABEL: label}
                given = failure_policies or {}
                webhook["failurePolicy"] = failure_policy or given.get(webhook["name"], webhook["failurePolicy"])
                webhook["timeoutSeconds"] = seconds or webhook["timeoutSeconds"]
            made.append(plane.api.create(configuration))
        if wait and failure_policy != "Ignore":  # nothing shows a call of a webhook that is down
            wait_until_called(plane, label)
        yield
    finally:
        for each in made:
            plane.api.delete_if_there(each["apiVersion"], each["kind"], each["metadata"]["name"])


def _final_pods(mutating: Object, base: str) -> Object:
    """An entry that sends the final pods of all namespaces to `/validate`; `mutating` is any entry for pods."""
    entry = {field: value for field, value in mutating.items() if field != "reinvocationPolicy"}
    client = {**mutating["clientConfig"], "url": f"{base}/validate"}
    return {**entry, "name": FINAL_PODS, "clientConfig": client, "failurePolicy": "Ignore", "namespaceSelector": {}}


def wait_until_called(plane: ControlPlane, label: str = "") -> None:
    """Wait until the API server calls the webhooks of both configurations, for namespaces with a label or for all."""
    namespace = plane.namespace(f"asked-{next(_COUNT)}", {LABEL: label} if label else None)

    def asked(about: str) -> bool:
        try:
            plane.api.create(PROBES[about], namespace, dryRun="All")
        except (ApiError, httpx.TransportError) as error:
            return about in str(error) or "failed calling webhook" in str(error)  # it may be down
        return any(about in warning for warning in plane.api.warnings)

    for about in PROBES:
        wait_for(lambda about=about: asked(about), f"the webhook {label} to be asked about {about}")
