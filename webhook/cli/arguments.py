"""Types of command line arguments that several subcommands take."""

import argparse

from webhook.facts import parse_kubernetes_version
from webhook.name_forms import is_namespace, is_subdomain
from webhook.text import quoted


def kubernetes_version(text: str) -> int:
    """An option's Kubernetes version as its 1.x minor number."""
    try:
        return parse_kubernetes_version(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def label(text: str) -> str:
    """An option's name of a Service or a Namespace: a DNS label."""
    if not is_namespace(text):
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not a DNS label: lower-case letters, digits and -, at most 63"
        )
    return text


def object_name(text: str) -> str:
    """An option's name of any other object: a DNS subdomain."""
    if not is_subdomain(text):
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not a DNS subdomain: lower-case letters, digits, - and ., at most 253"
        )
    return text
