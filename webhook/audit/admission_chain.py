"""admission: what the API server's own chain of admission makes of a predicted pod.

Mutating webhooks and policies of others may change a pod before or after vmguard. Where one is called for it, the
prediction is not certain. With --verify the audit creates the predicted pod as a dry run. Then Pod Security, quotas and
all webhooks of the cluster answer as they would.
"""

ID = "admission"
"""The id of these findings."""
