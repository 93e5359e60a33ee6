"""`vmguard serve`: the webhook, in a cluster or standalone.

Each of the two is a module of its own, and vmguard imports only the one that it needs. The cluster's client library
takes longer to load than a whole standalone vmguard.
"""

import argparse
import importlib

from webhook.cli.arguments import add_cluster, kubernetes_version
from webhook.facts import NEWEST_MINOR


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_cluster(parser)
    parser.add_argument("--standalone", action="store_true", help="serve without a cluster, from files, on 127.0.0.1")
    parser.add_argument(
        "--objects", action="append", default=[], metavar="FILE", help="standalone: objects that vmguard knows"
    )
    parser.add_argument(
        "--kubernetes-version",
        type=kubernetes_version,
        metavar="VERSION",
        help=f"standalone: such as 1.30 (default 1.{NEWEST_MINOR})",
    )
    parser.add_argument("--cert-dir", metavar="DIR", help="directory of tls.crt and tls.key; default VMGUARD_CERT_DIR")


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    way = importlib.import_module(f"webhook.cli.serve_{'standalone' if options.standalone else 'cluster'}")
    return int(way.run(options))
