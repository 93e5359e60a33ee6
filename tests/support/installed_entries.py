"""The entries of webhook configurations in manifests, as vmguard reads installed ones."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from webhook.cluster.webhook_entries import EntryScope, WebhookEntry


def entries_of(objects: Iterable[dict[str, Any]]) -> dict[str, tuple[WebhookEntry, ...]]:
    """The entries by the kind of their configuration; other objects do not count."""
    return {
        each["kind"]: tuple(
            WebhookEntry(index, entry["name"], "", b"", msgspec.json.decode(json.dumps(entry), type=EntryScope))
            for index, entry in enumerate(each["webhooks"])
        )
        for each in objects
        if each["kind"].endswith("WebhookConfiguration")
    }
