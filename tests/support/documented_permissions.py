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
        named = text.replace("[vmguard]", f"[{installation.name}]").replace("[vmguard-ca]", f"[{installation.secret}]")
        rule = yaml.safe_load(named)
        account.add(rule, installation.namespace if where == "Role" else "")
