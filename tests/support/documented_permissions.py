"""The permissions that docs/certificates.md says vmguard needs for its own certificate."""

import re

import yaml

from tests.support.accounts import Account
from tests.support.release import Release
from tests.support.server import ROOT

_RULES = re.compile(r"^\| (Role|ClusterRole)[^|]*\| `(.*?)` \|$", re.MULTILINE)


def grant_documented(account: Account, installation: Release) -> None:
    """Grant those permissions, for the names of an installation, besides what vmguard needs anyway."""
    account.lack()
    for where, text in _RULES.findall((ROOT / "docs" / "certificates.md").read_text()):
        rule = yaml.safe_load(text.replace("resourceNames: [vmguard]", f"resourceNames: [{installation.name}]"))
        account.add(rule, installation.namespace if where == "Role" else "")
