"""Objects as YAML text for people. Reading YAML is in `webhook/offline/documents.py`."""

import re
from typing import Any

import yaml


def as_yaml(value: Any) -> str:
    """A value as one YAML document: block style, keys in their order, no wrapped lines, no anchors."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=2**31 - 1, allow_unicode=True)
    return text


_NUMBER = re.compile(r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9][0-9_]*)?$|0o[0-7]+$")
"""Numbers of YAML 1.2, as kubectl reads them. PyYAML knows those of 1.1 only, and would write the text `1e3` bare."""

_SHORT_BOOLEAN = re.compile(r"[yYnN]$")
"""Booleans for kubectl, and texts for PyYAML, which would write the text `y` bare."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Shared objects are written out, never as anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's shape
        return True


def _text(dumper: Any, text: str) -> Any:
    """Text of several lines as a literal block, as kubectl prints it."""
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", _SHORT_BOOLEAN, list("yYnN"))
