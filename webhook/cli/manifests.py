"""`vmguard manifests`: Kubernetes objects generated from vmguard's tables, printed or written to files."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from webhook.cli.arguments import label, object_name
from webhook.cli.usage import UsageError
from webhook.manifests import dashboard
from webhook.manifests.deploy import COMMAND, documents, texts
from webhook.manifests.fence import ServiceAccount, fence
from webhook.manifests.roles import InstallationNames, audit_role, roles
from webhook.manifests.webhooks import NAME, Service, configurations

_DIRECTORY = "deploy"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("--role", choices=("audit",), help="print the ClusterRole of vmguard audit")
    targets = parser.add_subparsers(dest="target", metavar="TARGET")
    usual = Service()
    webhooks = targets.add_parser("webhooks", help="print the two webhook configurations")
    _add_name(webhooks, "--namespace", label, usual.namespace, "namespace of the Service")
    _add_name(webhooks, "--service", label, usual.name, "name of the Service")
    _add_configuration(webhooks)
    webhooks.add_argument(
        "--enforce-deny", action="store_true", help="the entries of a cluster where every namespace enforces deny"
    )
    webhooks.add_argument("--ca-file", metavar="FILE", help="CA certificates (PEM) to put into caBundle; default none")
    account = ServiceAccount()
    fenced = targets.add_parser("fence", help="print the policy that limits vmguard's ServiceAccount to CA bundles")
    _add_name(fenced, "--namespace", label, account.namespace, "namespace of the ServiceAccount")
    _add_name(fenced, "--service-account", object_name, account.name, "name of the ServiceAccount")
    _add_configuration(fenced)
    names = InstallationNames()
    granted = targets.add_parser("roles", help="print the roles of vmguard's ServiceAccount, and their bindings")
    _add_name(granted, "--namespace", label, names.namespace, "namespace of vmguard")
    _add_name(granted, "--service-account", object_name, names.account, "name of the ServiceAccount")
    _add_name(granted, "--service", label, names.service, "name of the Service")
    _add_name(granted, "--lease", object_name, names.lease, "name of the Lease")
    _add_configuration(granted)
    granted.add_argument(
        "--watch",
        type=label,
        action="append",
        default=[],
        metavar="NAME",
        help="a namespace of WATCH_NAMESPACE; repeat for more: Roles in these, and no ClusterRole",
    )
    targets.add_parser("dashboard", help="print the Grafana dashboard as JSON, for Import in Grafana")
    deploy = targets.add_parser("deploy", help="write every generated file of the deployment directory")
    deploy.add_argument("--directory", type=Path, default=Path(_DIRECTORY), metavar="DIR", help=f"default {_DIRECTORY}")
    deploy.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if a file differs from the generated one"
    )


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    _add_name(parser, "--webhook-configuration", object_name, NAME, "name of both webhook configurations")


def _add_name(parser: argparse.ArgumentParser, option: str, form: Callable[[str], str], usual: str, what: str) -> None:
    """Add the option of one name."""
    options = ("-n", option) if option == "--namespace" else (option,)
    parser.add_argument(*options, type=form, default=usual, metavar="NAME", help=f"{what} (default {usual})")


def run(options: argparse.Namespace) -> int:
    """Print or write; 1 when `--check` finds a difference.

    Raises:
        UsageError: neither a target nor --role is named, or both are.

    """
    if bool(options.role) == bool(options.target):
        raise UsageError(f"vmguard manifests: name one TARGET ({', '.join(TARGETS)}), or --role; see --help")
    if options.role:
        sys.stdout.write(documents([audit_role()]))
        return 0
    return TARGETS[options.target](options)


def _webhooks(options: argparse.Namespace) -> int:
    ca = _certificates(options.ca_file) if options.ca_file is not None else b""
    target = Service(options.namespace, options.service)
    made = configurations(target, ca, name=options.webhook_configuration, enforce_deny=options.enforce_deny)
    sys.stdout.write(documents(made))
    return 0


def _fence(options: argparse.Namespace) -> int:
    account = ServiceAccount(options.namespace, options.service_account)
    sys.stdout.write(documents(fence(account, options.webhook_configuration)))
    return 0


def _roles(options: argparse.Namespace) -> int:
    names = InstallationNames(
        namespace=options.namespace,
        account=options.service_account,
        service=options.service,
        configuration=options.webhook_configuration,
        lease=options.lease,
    )
    sys.stdout.write(documents(roles(names, tuple(options.watch))))
    return 0


def _dashboard(_: argparse.Namespace) -> int:
    sys.stdout.write(dashboard.text())
    return 0


def _deploy(options: argparse.Namespace) -> int:
    status = 0
    for name, text in texts():
        path: Path = options.directory / name
        try:
            present = path.read_bytes() if path.exists() else None
            if present == text.encode():
                continue
            if options.check:
                state = "is missing" if present is None else "is not as generated"
                print(f"{path} {state}: run {_command(options.directory)}", file=sys.stderr)
                status = 1
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"vmguard manifests: {path}: {error.strerror or error}") from None
        print(path)
    return status


TARGETS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "webhooks": _webhooks,
    "fence": _fence,
    "roles": _roles,
    "dashboard": _dashboard,
    "deploy": _deploy,
}
"""What can be generated, and the function that does it."""


def _command(directory: Path) -> str:
    return COMMAND if directory == Path(_DIRECTORY) else f"{COMMAND} --directory {directory}"


def _certificates(file: str) -> bytes:
    """The certificates of a PEM file; anything else in the file, such as a private key, is left out."""
    try:
        found = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except OSError as error:
        raise UsageError(f"vmguard manifests: --ca-file {file}: {error.strerror or error}") from None
    except (ValueError, x509.InvalidVersion):
        raise UsageError(f"vmguard manifests: --ca-file {file} has no certificate in PEM form") from None
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)
