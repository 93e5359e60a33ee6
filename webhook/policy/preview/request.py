"""A preview as a step of a decision: the request, and the answer if there is no preview.

A preview takes far longer than the rest of a decision. So a decision yields a `PreviewRequest` like a lookup, and its
driver chooses the process that makes the preview: this one (files), or a worker process (the server).
"""

from collections.abc import Generator
from typing import Any, Literal, TypeVar

import msgspec

from webhook.facts import Lookup, Names
from webhook.policy.findings import Warn
from webhook.policy.json_access import Raw
from webhook.policy.preview.preview import Preview, preview_pods
from webhook.policy.preview.resource_pods import PodsOfResource
from webhook.settings import Settings

T = TypeVar("T")

SkipReason = Literal["too busy", "too large", "failed"]

_ADVICE: dict[SkipReason, str] = {
    "too busy": "apply it again later, or use vmguard review",
    "too large": "use vmguard review",
    "failed": "vmguard failed on it, and its log says why",
}


class PreviewRequest(msgspec.Struct, frozen=True):
    """The pods of a resource that are to be previewed; `had` is its spec before an update, None for a new resource.

    `fixes` is whether the preview has a fix for each finding, which the answer to an admission does not need.
    """

    pods: PodsOfResource
    had: Raw | None
    settings: Settings
    minor: int
    fixes: bool = True

    def preview(self) -> Preview:
        """The preview, made here and now."""
        pods = self.pods
        before = None if self.had is None else PodsOfResource(pods.resource, self.had, pods.parentage)
        return preview_pods(pods, before, self.settings, self.minor, fixes=self.fixes)


class NotPreviewed(msgspec.Struct, frozen=True):
    """There is no preview. This denies nothing: the pods are judged when they are created."""

    reason: SkipReason

    def warning(self, resource: str) -> Warn:
        """What the person who applies the resource must know."""
        return Warn("workload", f"pods not previewed: {self.reason} ({resource}); {_ADVICE[self.reason]}")


DecisionSteps = Generator[Lookup | Names | PreviewRequest, Any, T]
"""As `webhook.facts.Steps`, with previews among the steps. A preview is answered by `Preview` or `NotPreviewed`."""
