"""`vmguard explain RULE`: what a rule id means, in the text of its record, and the table that the rule reads."""

import argparse
import inspect

from webhook.audit import admission_chain
from webhook.cli.usage import UsageError
from webhook.policy import workload
from webhook.policy.rules import RULES
from webhook.text import quoted

_RULES = {rule.id: rule.explanation for rule in RULES}

TEXTS = {
    **_RULES,
    admission_chain.ID: inspect.getdoc(admission_chain),
    "workload": inspect.getdoc(workload),
    "data-ownership": _RULES["volume-ownership"],
}
"""All texts by their ids. `data-ownership` is another name of a rule."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("rule", metavar="RULE", help="the id in brackets at the end of a warning: " + ", ".join(TEXTS))


def run(options: argparse.Namespace) -> int:
    """Print the text."""
    if options.rule not in TEXTS:
        raise UsageError(f"vmguard explain: no rule {quoted(options.rule)}; there are {', '.join(TEXTS)}")
    print(TEXTS[options.rule])
    return 0
