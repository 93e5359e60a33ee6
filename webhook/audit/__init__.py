"""The audit of a cluster: what enforcing vmguard would change and break there, predicted from what runs now.

It only gets and lists. Objects come from a live cluster (`collect`) or from files (`saved`), are trimmed to what an
audit reads, and each pod is decided on as at an admission (`auditor`). Evidence from storage and from other webhooks is
added, and the report (`report`) is shown as a table, JSON, HTML or diff.
"""
