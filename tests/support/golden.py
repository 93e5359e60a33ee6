"""The golden cases: one folder a case, recorded; and the security projection that they are compared by."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent / "golden"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_SUFFIX = re.compile(r"kube-api-access-[a-z0-9]{5}")


@dataclass(frozen=True)
class Case:
    """One recorded case."""

    path: Path

    @property
    def settings(self) -> dict[str, str]:
        return self._json("case.json")["settings"]

    @property
    def category(self) -> str:
        return self._json("case.json")["class"]

    @property
    def kind(self) -> str:
        return self._json("case.json")["kind"]

    @property
    def request(self) -> dict[str, Any]:
        return self._json("review.json")["request"]

    @property
    def review(self) -> bytes:
        return (self.path / "review.json").read_bytes()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return self._json("objects.json")["items"]

    @property
    def expected(self) -> dict[str, Any]:
        return self._json("expected.json")

    def _json(self, name: str) -> Any:
        return json.loads((self.path / name).read_bytes())


class Older(Case):
    """A case as far as Kubernetes below 1.30 can have it: it knows no `sleep` before a stop."""

    @property
    def objects(self) -> list[dict[str, Any]]:
        objects = super().objects
        for each in objects:
            for container in each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
                container.pop("lifecycle", None)
        return objects


def for_version(case: Case, version: str) -> Case:
    """A case as far as a version such as `1.24` can have it."""
    return Older(case.path) if int(version.partition(".")[2]) < 30 else case


CASES = [Case(path) for path in sorted(ROOT.iterdir()) if path.is_dir()]


def projection(pod: dict[str, Any]) -> dict[str, Any]:
    """What of a pod the cases compare."""
    spec = pod["spec"]
    tokens = [volume for volume in spec.get("volumes") or [] if _holds_token(volume)]
    return {
        "podSecurityContext": spec.get("securityContext") or None,
        "automountServiceAccountToken": spec.get("automountServiceAccountToken"),
        "containers": _containers(spec.get("containers")),
        "initContainers": _containers(spec.get("initContainers")),
        "apiVolumes": sorted(({**v, "name": _starred(v["name"])} for v in tokens), key=lambda volume: volume["name"]),
    }


def expected(case: Case) -> dict[str, Any]:
    """The case's expectation with the API server's default for `readOnly` left out on both sides."""
    wanted = case.expected
    for group in ("containers", "initContainers"):
        for container in wanted[group].values():
            mount = container["apiMount"]
            if mount and not mount.get("readOnly"):
                mount.pop("readOnly", None)
    return wanted


def _containers(containers: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {
        container["name"]: {
            "securityContext": container.get("securityContext") or None,
            "apiMount": _api_mount(container),
        }
        for container in containers or []
    }


def _api_mount(container: dict[str, Any]) -> dict[str, Any] | None:
    for mount in container.get("volumeMounts") or []:
        if mount["mountPath"] == TOKEN_PATH:
            return {**mount, "name": _starred(mount["name"])}
    return None


def _holds_token(volume: dict[str, Any]) -> bool:
    sources = (volume.get("projected") or {}).get("sources") or []
    return any("serviceAccountToken" in source for source in sources)


def _starred(name: str) -> str:
    return _SUFFIX.sub("kube-api-access-*", name) if _SUFFIX.fullmatch(name) else name
