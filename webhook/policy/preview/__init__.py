"""The pods that a resource will produce, predicted before they exist, and what the rules find in them. Pure.

`PodsOfResource` is the seam between resources and pods: it gives the workloads that the operator makes from a resource,
their postures, and the predicted pods. A `PreviewRequest` is answered by what the rules find in them, for
the person who applies the resource.
"""

from webhook.policy.preview.preview import Preview
from webhook.policy.preview.request import DecisionSteps, NotPreviewed, PreviewRequest
from webhook.policy.preview.resource_pods import PodsOfResource

__all__ = ["DecisionSteps", "NotPreviewed", "PodsOfResource", "Preview", "PreviewRequest"]
