"""The resources and pods of `tests/field/`, which people had trouble with, and what `vmguard review` says of them."""

from pathlib import Path

from webhook.cli.files import read_files
from webhook.offline.file_facts import FileFacts
from webhook.offline.inputs import facts_only, sort_documents
from webhook.offline.judge import Judged, judge
from webhook.settings import Settings

FIELD = Path(__file__).parents[1] / "field"
"""One folder for each case."""


def reviewed(file: str, objects: str = "", **environment: str) -> tuple[Judged, ...]:
    """What becomes of everything in a file, such as `port-vmauth-80/cr.yaml`; `objects` is a file of facts."""
    found = sort_documents(read_files([str(FIELD / file)]))
    given = facts_only(read_files([str(FIELD / objects)])) if objects else ()
    source = FileFacts((*given, *found.facts), 37, complete=bool(objects) or found.has_owners)
    settings = Settings.from_environment(environment)
    return tuple(judge(item, source, settings) for item in found.inputs)


def warnings_in(file: str, objects: str = "", *, rule: str = "", **environment: str) -> list[str]:
    """The warnings on everything in a file, of one rule or of all."""
    told = [warning for each in reviewed(file, objects, **environment) for warning in each.decision.warnings]
    return [each for each in told if not rule or each.endswith(f"[{rule}]")]
