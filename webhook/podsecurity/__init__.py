"""The Kubernetes Pod Security Standards (privileged, baseline, restricted) as pure checks over a raw pod.

`evaluate` says which level a pod reaches at a Kubernetes minor version and, in the words of the API server's own
PodSecurity admission, why it is not restricted. The same pod always gets the same verdict: nothing here does I/O, asks
a cluster, reads a clock or changes the pod, and no JSON makes it raise.
"""

from webhook.podsecurity.check import Level, Reason, Verdict
from webhook.podsecurity.registry import evaluate

__all__ = ["Level", "Reason", "Verdict", "evaluate"]
