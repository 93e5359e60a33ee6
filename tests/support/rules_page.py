"""The generated table in docs/rules.md: `python -m tests.support.rules_page` writes it."""

from tests.support.server import ROOT
from webhook.policy.context_table import context_table

PAGE = ROOT / "docs" / "rules.md"
COMMAND = "python -m tests.support.rules_page"
_BEGIN = f"<!-- begin: strict security context ({COMMAND} writes this table) -->\n"
_END = "<!-- end: strict security context -->\n"


def generated(page: str) -> str:
    """The page with the table as the code has it now."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return "\n".join((before + _BEGIN, *context_table(), "", _END + after))


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text()))
