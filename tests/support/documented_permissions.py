"""The permissions that the documentation says vmguard needs, for the names of an installation."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.accounts import Account
from tests.support.release import Release
from tests.support.server import ROOT
from webhook.manifests.webhooks import VALIDATING

_RULES = re.compile(r"^\| (Role|ClusterRole)[^|]*\| `(.*?)` \|", re.MULTILINE)
_RESOURCES = next(entry.rule.resources for entry in VALIDATING if entry.name == "resources")


def documented(page: str) -> list[tuple[str, str]]:
    """The kind of role and the rule, as it is written, of each row of a page."""
    return _RULES.findall((ROOT / "docs" / page).read_text())


def _rules(page: str, installation: Release) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, text in documented(page):
        rule = yaml.safe_load(text.replace("[...]", f"[{', '.join(_RESOURCES)}]"))
        if rule["apiGroups"] == ["admissionregistration.k8s.io"]:
            rule["resourceNames"] = [installation.name]
        elif rule["resources"] == ["secrets"]:
            rule["resourceNames"] = [installation.secret]
        yield where, rule


def grant_documented(account: Account, installation: Release) -> None:
    """Grant those of docs/certificates.md, besides what vmguard needs anyway."""
    account.lack()
    _grant(account, installation, "certificates.md")


def grant_all_documented(account: Account, installation: Release) -> None:
    """Grant those of docs/security.md, which are all that vmguard needs, and nothing else."""
    _grant(account, installation, "security.md")


def _grant(account: Account, installation: Release, page: str) -> None:
    for where, rule in _rules(page, installation):
        account.add(rule, installation.namespace if where == "Role" else "")
