"""`vmguard explain RULE`: what a rule id means, in the rule's own words."""

import argparse
import inspect

from webhook.cli.usage import UsageError
from webhook.policy import rules, workload

TEXTS = {**{module.ID: module for module in rules.MODULES}, "workload": workload}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("rule", metavar="RULE", help="the id in brackets at the end of a warning: " + ", ".join(TEXTS))


def run(options: argparse.Namespace) -> int:
    """Print the text."""
    module = TEXTS.get(options.rule)
    if module is None:
        raise UsageError(f"vmguard explain: no rule {options.rule!r}; there are {', '.join(TEXTS)}")
    print(inspect.getdoc(module))
    return 0
