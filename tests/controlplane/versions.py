"""What a control plane and tools are made of: one row a Go module, with the programs that are built from it and how.

A table and nothing else; `build` reads it. A row names a folder under `modules/` whose go.mod and go.sum pin every
dependency. To add a version of Kubernetes: its folder, its row in `KUBERNETES`. To add a tool: its folder, its row in
`TOOLS`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "modules"
STAGES = "stages.yaml"


@dataclass(frozen=True, slots=True)
class Module:
    """A folder of `modules/`.

    `programs` are the names of the binaries with their packages. `stages` are globs of YAML files in the module
    `origin`; the build copies them into one file beside the binaries, `stages.yaml`. `minutes` is the time for download
    and build on two cores with empty caches. `tags` are build tags.
    """

    folder: str
    title: str
    programs: dict[str, str]
    minutes: int
    link: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    origin: str = ""
    stages: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return MODULES / self.folder

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files that are built."""
        return (*self.programs, *((STAGES,) if self.stages else ()))


def _kubernetes(minor: str, version: str, minutes: int, *also_told: str) -> Module:
    """One version; `also_told` are further packages that hold the version, beside that of the programs themselves."""
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    major, _, number = minor.partition(".")
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": number}
    return Module(
        f"kubernetes-{minor}",
        f"Kubernetes {version}",
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in names},
        minutes,
        tuple(
            f"-X {package}.{name}={value}"
            for package in ("k8s.io/component-base/version", *also_told)
            for name, value in told.items()
        ),
    )


KUBERNETES: dict[str, Module] = {
    "1.24": _kubernetes("1.24", "v1.24.17", 7, "k8s.io/client-go/pkg/version"),  # the aggregator's, which says /version
    "1.27": _kubernetes("1.27", "v1.27.16", 7, "k8s.io/client-go/pkg/version"),
    "1.30": _kubernetes("1.30", "v1.30.14", 7),
    "1.34": _kubernetes("1.34", "v1.34.4", 7),
    "1.37": _kubernetes("1.37", "v1.37.2", 7),
}
"""Those between the first and the last are for `make matrix` only."""

NEWEST_VERSION = "TESTED_KUBERNETES"
"""The variable by which `make matrix` has tests run on another version than the newest."""

NEWEST = os.environ.get(NEWEST_VERSION, "1.37")

WITH_POLICIES = "1.24"
"""The last that serves PodSecurityPolicies."""

OLDEST_AND_NEWEST = tuple(dict.fromkeys((WITH_POLICIES, NEWEST)))
"""Both, once each: `make matrix` may have tests run on the oldest one alone."""

ETCD = Module("etcd", "etcd v3.7.3", {"etcd": "go.etcd.io/etcd/server/v3"}, 1)

KWOK = Module(
    "kwok",
    "kwok v0.8.0",
    {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
    1,
    origin="sigs.k8s.io/kwok",
    stages=(
        "kustomize/stage/node/fast/node-initialize.yaml",
        "kustomize/stage/node/heartbeat-with-lease/*.yaml",
        "kustomize/stage/pod/fast/*.yaml",
    ),
)

HELM_4, HELM_3, HELM_DOCS = "helm-4", "helm-3", "helm-docs"
PROMTOOL = "promtool"


def _helm(major: int, version: str, *packages: str) -> Module:
    """One version; `packages` hold the version of Kubernetes that it renders for."""
    package = f"helm.sh/helm/v{major}"
    of_kubernetes = dict(zip(("k8sVersionMajor", "k8sVersionMinor"), [*KUBERNETES][-1].split("."), strict=True))
    return Module(
        f"helm-{major}",
        f"Helm {version}",
        {"helm": f"{package}/cmd/helm"},
        3,
        (
            f"-X {package}/internal/version.version={version}",
            *(f"-X {package}/{each}.{name}={value}" for each in packages for name, value in of_kubernetes.items()),
        ),
    )


ACTIONLINT = "actionlint"

TOOLS: dict[str, Module] = {
    HELM_4: _helm(4, "v4.3.2"),
    HELM_3: _helm(3, "v3.22.0", "pkg/chartutil", "pkg/lint/rules"),
    HELM_DOCS: Module(HELM_DOCS, "helm-docs v1.14.2", {"helm-docs": "github.com/norwoodj/helm-docs/cmd/helm-docs"}, 1),
    ACTIONLINT: Module(
        ACTIONLINT, "actionlint v1.7.12", {"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"}, 1
    ),
    PROMTOOL: Module(
        PROMTOOL,
        "Prometheus v0.316.0",
        {"promtool": "github.com/prometheus/prometheus/cmd/promtool"},
        4,
        tags=("remove_all_sd",),  # without the clients of clouds, which are most of the build
    ),
}
"""Programs of tests that are no part of a control plane, by the name of their folder."""
