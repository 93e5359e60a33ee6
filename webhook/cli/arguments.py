"""Types of command line arguments that several subcommands take."""

import argparse

from webhook.facts import parse_kubernetes_version


def kubernetes_version(text: str) -> int:
    """An option's Kubernetes version as its 1.x minor number."""
    try:
        return parse_kubernetes_version(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
