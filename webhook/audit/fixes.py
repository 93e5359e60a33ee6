"""Fixes as text to copy: YAML for a resource, read-only commands, and the command that changes the resource. Pure."""

import msgspec

from webhook.audit.fix_commands import ResourceOf, patch_command
from webhook.audit.report import AuditVerdict, ReportedFinding
from webhook.policy.placed_fix import PlacedFix
from webhook.text import one_line
from webhook.yaml_output import as_yaml

_LONGEST = 400


class Copyable(msgspec.Struct, frozen=True):
    """The fix of a finding as a report has it: text, and the command that makes the change, "" for none."""

    fix: str = ""
    command: str = ""


def reported(rule: str, verdict: AuditVerdict, text: str, what: Copyable) -> ReportedFinding:
    """A finding with what someone can copy for it."""
    return ReportedFinding(rule, verdict, text, what.fix, what.command)


def copyable(fix: PlacedFix | None, resource_of: ResourceOf) -> Copyable:
    """What someone can copy of a fix; nothing of None."""
    return Copyable(fix_text(fix), patch_command(fix, resource_of))


def fix_text(fix: PlacedFix | None) -> str:
    """The text of a fix, "" for none."""
    if fix is None:
        return ""
    notes = "".join(f"# {one_line(note, _LONGEST)}\n" for note in fix.notes)
    return notes + (as_yaml(fix.fields) if fix.fields else "") + "".join(f"{each}\n" for each in fix.commands)
