"""The recorded reviews as one load: what a webhook is sent, and all that it can look up, in one file.

Two recordings can hold one object with two UIDs (the same resource, recorded twice). One server can know only one of
them, so the later case is left out.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.contestants import Ground
from tests.support.golden import CASES, Case


def cases() -> list[Case]:
    """The cases that one server can know together."""
    uids: dict[tuple[str, ...], str] = {}
    kept = []
    for case in CASES:
        own = {_key(item): item["metadata"].get("uid", "") for item in case.objects}
        if all(uids.get(key, uid) == uid for key, uid in own.items()):
            uids |= own
            kept.append(case)
    return kept


@contextmanager
def prepared(known: Sequence[Case] = ()) -> Iterator[Ground]:
    """A ground whose servers can look up what these cases can; its folder goes with the block."""
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder))
        ground.prepare()
        _write_objects(known, ground.objects)
        yield ground


def _write_objects(chosen: Sequence[Case], path: Path) -> None:
    items = {_key(item): item for case in chosen for item in case.objects}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items.values())}))


def contexts(shown: dict[str, Any]) -> dict[str, Any]:
    """The security contexts alone of a projection, or of what a case expects."""
    containers = {**shown["containers"], **shown["initContainers"]}
    return {
        "pod": shown["podSecurityContext"],
        **{name: container["securityContext"] for name, container in containers.items()},
    }


def _key(item: dict[str, Any]) -> tuple[str, ...]:
    metadata = item["metadata"]
    return item["apiVersion"], item["kind"], metadata.get("namespace", ""), metadata["name"]
