"""The pods that a resource will produce, predicted before they exist, and what the rules find in them. Pure.

`PodsOfResource` is the seam between resources and pods: it gives the workloads that the operator makes from a resource,
their postures, and the predicted pods. `preview_pods` runs the rules over them for the person who applies the resource.
"""

from webhook.policy.preview.preview import Preview, preview_pods
from webhook.policy.preview.resource_pods import PodsOfResource

__all__ = ["PodsOfResource", "Preview", "preview_pods"]
