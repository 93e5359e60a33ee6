"""admission: what the API server's own chain of admission makes of a predicted pod.

Mutating webhooks and policies of others may change a pod before or after vmguard. Labels of a namespace decide whether
vmguard is called. Where one of these is not known, the verdict is `unknown`.

Why: the audit predicts what vmguard does. It cannot run the webhooks of others.

What to do: let the API server answer. With `vmguard audit --verify` the audit creates the predicted pod as a dry run.
Then Pod Security, quotas and all webhooks of the cluster answer as they would. Where a right is missing, add its rule
to the audit's ClusterRole (`vmguard manifests --role audit` prints all of them):

    rules:
    - {apiGroups: [""], resources: [namespaces], verbs: [get, list]}
    - {apiGroups: [admissionregistration.k8s.io], resources: [mutatingwebhookconfigurations], verbs: [get, list]}
"""

ID = "admission"
"""The id of these findings."""
