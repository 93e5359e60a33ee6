"""Objects as YAML text for people. Reading YAML is in `webhook/offline/documents.py`."""

from typing import Any

import yaml


def as_yaml(value: Any) -> str:
    """A value as one YAML document: block style, keys in their order, no wrapped lines, no anchors."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=2**31 - 1, allow_unicode=True)
    return text


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Shared objects are written out, never as anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's shape
        return True
