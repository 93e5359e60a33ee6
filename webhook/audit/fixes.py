"""Fixes as text to copy: YAML for a resource, or commands. Pure."""

from webhook.policy.placed_fix import PlacedFix
from webhook.text import one_line
from webhook.yaml_output import as_yaml

_LONGEST = 400


def fix_text(fix: PlacedFix | None) -> str:
    """The text of a fix, "" for none."""
    if fix is None:
        return ""
    notes = "".join(f"# {one_line(note, _LONGEST)}\n" for note in fix.notes)
    return notes + (as_yaml(fix.fields) if fix.fields else "") + "".join(f"{each}\n" for each in fix.commands)
