"""The packages that a lock file names for this machine."""

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.server import ROOT


def locked(name: str) -> dict[str, str]:
    """The version of each package of a lock file in the project's folder; packages for other machines are left out."""
    lines = [line.removesuffix("\\").strip() for line in (ROOT / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if "==" in line and not line.startswith("#")]
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in found
        if each.marker is None or each.marker.evaluate()
    }
