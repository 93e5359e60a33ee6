"""Types of command line arguments that several subcommands take."""

import argparse

from webhook.cli.usage import UsageError
from webhook.facts import parse_kubernetes_version
from webhook.name_forms import is_namespace, is_subdomain
from webhook.text import quoted


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a cluster, as kubectl has them."""
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="default KUBECONFIG, the pod's own, ~/.kube")
    parser.add_argument("--context", default="", metavar="NAME", help="context of the kubeconfig; default its current")


def add_files(parser: argparse.ArgumentParser, what: str) -> None:
    """Add files as arguments and, as kubectl has them, by `-f`; `input_files` has both."""
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"{what}; - is stdin")
    parser.add_argument(
        "-f", "--filename", dest="named", action="append", default=[], metavar="FILE", help="the same as FILE"
    )


def input_files(options: argparse.Namespace, command: str) -> list[str]:
    """The files of `add_files`, in their order: those by `-f` after the others.

    Raises:
        UsageError: there is none.

    """
    files: list[str] = [*options.files, *options.named]
    if not files:
        raise UsageError(f"vmguard {command}: name at least one FILE; - is stdin; see vmguard {command} --help")
    return files


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
