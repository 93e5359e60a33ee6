"""`vmguard certs`: show, prepare and start the rotation of the CA that signs vmguard's certificates."""

import argparse
import importlib
from collections.abc import Mapping

from webhook.cli.arguments import add_cluster, label, object_name
from webhook.cli.usage import UsageError
from webhook.settings import duration
from webhook.text import quoted

TARGETS: Mapping[str, str] = {
    "status": "webhook.cli.certs_status",
    "rotate": "webhook.cli.certs_rotate",
    "init": "webhook.cli.certs_init",
    "trust": "webhook.cli.certs_trust",
}
"""The subcommands, and the module that runs each. Only that module is imported."""

TIMEOUT = 300
"""Seconds that `rotate --wait` waits for the leader."""

DAYS = 3650
"""The lifetime of a CA that nothing renews."""

_MOST_DAYS = 36500


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    targets = parser.add_subparsers(dest="target", required=True, metavar="TARGET")
    status = targets.add_parser("status", help="report on the CA, its rotation and the CA bundles")
    _add_cluster(status)
    status.add_argument(
        "--cert-dir", metavar="DIR", help="directory of the files that vmguard serves; default VMGUARD_CERT_DIR"
    )
    status.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default table")
    rotate = targets.add_parser("rotate", help="begin the rotation of the CA now")
    _add_cluster(rotate)
    rotate.add_argument("--wait", action="store_true", help="wait until the new CA signs")
    rotate.add_argument(
        "--forget-old", action="store_true", help="for a leaked key: wait, then trust the new CA only; implies --wait"
    )
    rotate.add_argument(
        "--timeout",
        type=_duration,
        default=TIMEOUT,
        metavar="DURATION",
        help=f"of each step of the wait, such as 90s or 5m; default {TIMEOUT}s",
    )
    init = targets.add_parser("init", help="print a Secret with a new CA that an administrator renews")
    _add_names(init)
    init.add_argument(
        "--days", type=_days, default=DAYS, metavar="DAYS", help=f"days that the CA is valid; default {DAYS}"
    )
    init.add_argument(
        "--ca-file", metavar="FILE", help="also write the certificate of the CA, without its key, to this file"
    )
    trust = targets.add_parser("trust", help="write CA certificates into both webhook configurations")
    _add_cluster(trust)
    trust.add_argument("files", nargs="+", metavar="FILE", help="CA certificates (PEM); together they are the bundle")


def run(options: argparse.Namespace) -> int:
    """Run one subcommand."""
    status: int = importlib.import_module(TARGETS[options.target]).run(options)
    return status


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    add_cluster(parser)
    _add_names(parser)
    parser.add_argument(
        "--webhook-configuration",
        type=object_name,
        metavar="NAME",
        help="name of both configurations; default VMGUARD_WEBHOOK_CONFIGURATION, vmguard",
    )


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n",
        "--namespace",
        type=label,
        metavar="NAME",
        help="namespace of the Service and the Secret; default POD_NAMESPACE, else see docs/commands.md",
    )
    parser.add_argument(
        "--service", type=label, metavar="NAME", help="name of the Service; default VMGUARD_SERVICE, vmguard"
    )


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_DAYS):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number of days from 1 to {_MOST_DAYS}")
    return int(text)


def _duration(text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError:
        seconds = 0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no duration above 0, such as 90s or 5m")
    return seconds


def failed(target: str, reason: str) -> UsageError:
    """The error of a subcommand that ends it with exit status 2."""
    return UsageError(f"vmguard certs {target}: {reason}")
