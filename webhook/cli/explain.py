"""`vmguard explain RULE`: what a rule id means: the docstring of the rule, and the table that it reads."""

import argparse
import inspect

from webhook.cli.usage import UsageError
from webhook.policy import rules, workload
from webhook.policy.context_table import context_table
from webhook.policy.rules import security_context

TEXTS = {**{module.ID: module for module in rules.MODULES}, "workload": workload}
_TABLES = {security_context.ID: context_table}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("rule", metavar="RULE", help="the id in brackets at the end of a warning: " + ", ".join(TEXTS))


def run(options: argparse.Namespace) -> int:
    """Print the text."""
    module = TEXTS.get(options.rule)
    if module is None:
        raise UsageError(f"vmguard explain: no rule {options.rule!r}; there are {', '.join(TEXTS)}")
    print(inspect.getdoc(module))
    if table := _TABLES.get(options.rule):
        print("", *table(), sep="\n")
    return 0
