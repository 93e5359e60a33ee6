"""The image is built, and runs as the Deployment runs it: as its user, on a read-only root, without capabilities."""

import base64
import json
import os
import re
import shutil
import signal
import stat
from pathlib import Path

import jsonpatch
import pytest
import yaml
from packaging.utils import canonicalize_name

from bench.image import sizes, starts
from tests.controlplane.api import wait_for
from tests.controlplane.fixtures import had
from tests.support.accounts import Account
from tests.support.admission_pods import STRICT_SECURITY, VMSINGLE, weak_pod
from tests.support.container_image import Mount, confinement, container_image, process_of
from tests.support.documented_permissions import grant_documented
from tests.support.egress import egress_of
from tests.support.golden import expected, projection
from tests.support.locked import locked
from tests.support.patience import PATIENCE
from tests.support.pod_load import is_hardened
from tests.support.release import release
from tests.support.server import LISTEN
from webhook import __version__
from webhook.manifests.installation import MODE, deployment
from webhook.manifests.roles import InstallationNames

POD = deployment(InstallationNames())["spec"]["template"]["spec"]
"""The PodSpec of the manifests."""

(CONTAINER,) = POD["containers"]

ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
"""Where a container has its token. /var/run is a link to /run."""

IMPORTS = """
import importlib, json, os, pkgutil, sys
for name in ("webhook", "certs"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
specs = [module.__spec__ for module in sys.modules.values() if getattr(module, "__spec__", None)]
print(json.dumps([spec.cached for spec in specs if spec.has_location and spec.cached]))
"""
"""Imports all of vmguard and prints where the byte-code of each module must be."""

INSTALLED = "import importlib.metadata as m, json; print(json.dumps([(d.name, d.version) for d in m.distributions()]))"

INSTALLERS = ("ensurepip", "pip", "setuptools", "wheel")
FIND = f"import importlib.util, sys; print([name for name in {INSTALLERS} if importlib.util.find_spec(name)])"


@pytest.fixture(scope="module")
def image(pytestconfig):
    made = container_image()
    yield had(pytestconfig, made.__enter__)
    made.__exit__(None, None, None)


@pytest.fixture
def standalone(image, tmp_path):
    settings = {"VM_ENABLESTRICTSECURITY": VMSINGLE.settings["VM_ENABLESTRICTSECURITY"]}
    with image.standalone(tmp_path, POD, VMSINGLE.objects, **settings) as server:
        yield server


def test_a_standalone_server_answers_a_review_with_a_hardened_pod(standalone):
    status, _, body = standalone.ask("POST", "/mutate", VMSINGLE.review)
    assert status == 200
    operations = json.loads(base64.b64decode(body["response"]["patch"]))
    admitted = jsonpatch.apply_patch(VMSINGLE.request["object"], operations)
    assert projection(admitted) == expected(VMSINGLE)
    assert standalone.dry_run(json.loads(VMSINGLE.review))[0] == 200, "the worker process runs too"


def test_the_process_has_the_user_and_the_rights_that_the_manifest_gives_it(standalone):
    process = Path(f"/proc/{process_of(standalone)}")
    lines = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    user, group = (str(POD["securityContext"][key]) for key in ("runAsUser", "runAsGroup"))
    assert lines["Uid"].split() == [user] * 4
    assert lines["Gid"].split() == [group] * 4
    assert lines["Groups"].split() == []
    assert {lines[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert lines["NoNewPrivs"] == "1"
    assert lines["NSpid"].split()[-1] == "1", "it is the first process of the container"
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    (root,) = (each for each in mounts if each[4] == "/")
    assert "ro" in root[5].split(",")


def test_the_first_process_of_the_container_ends_in_order_at_a_signal(standalone):
    """Linux ignores the signal for a first process that does not handle it."""
    os.kill(process_of(standalone), signal.SIGTERM)
    assert standalone.process.wait(PATIENCE) == 0


def test_a_container_does_not_outlive_the_program_that_started_it(image, tmp_path):
    with image.standalone(tmp_path, POD, VMSINGLE.objects) as server:
        process = Path(f"/proc/{process_of(server)}")
        assert process.exists()
    wait_for(lambda: not process.exists(), "the container to end")


@pytest.mark.parametrize("way", ["in a pod", "--kubeconfig"])
def test_a_server_of_a_cluster_hardens_the_pods_of_a_real_api_server(image, plane, tmp_path, way):
    """With the arguments and the environment of the manifest, and no folder that it may write to."""
    with egress_of(plane) as egress, release(plane, egress, tmp_path / "release") as installation:
        installation.configure()
        account = Account(plane, service_account=(installation.namespace, "in-a-container"))
        grant_documented(account, installation)
        files = {"ca.crt": plane.identities.ca.read_text(), "token": account.token, "namespace": installation.namespace}
        files["kubeconfig"] = _kubeconfig(plane.url)
        for name, text in files.items():
            (tmp_path / name).write_text(text)

        def start(folder, _kubeconfig, _alterations, /, **settings):
            own = {each["name"]: each.get("value", installation.namespace) for each in CONTAINER["env"]}
            variables = {**own, **LISTEN, **settings}
            arguments = CONTAINER["args"]
            mount = Mount(_shared(tmp_path / "account", tmp_path, files), ACCOUNT)
            if way == "--kubeconfig":
                arguments = [*arguments, "--kubeconfig", f"{ACCOUNT}/kubeconfig"]
            else:
                variables |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(plane.port)}
            return image.serving(folder, POD, arguments, variables=variables, mounts=[mount])

        server = installation.replica(start=start, **STRICT_SECURITY, **{MODE: "enforce"})
        installation.ready(server)
        pod = weak_pod(plane, installation.pods, privileged=False)
        wait_for(lambda: is_hardened(plane.api.create(pod, installation.pods, dryRun="All")), "a pod to be hardened")
        wrong = [line for line in server.lines() if line["level"] in {"error", "warning"}]
        assert not [line for line in wrong if line["message"] != "survey"], "a leader surveys the pods of all tests"


def _kubeconfig(url):
    named = {
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": "ca.crt"}}],
        "users": [{"name": "u", "user": {"tokenFile": f"{ACCOUNT}/token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "x", **named})


def _shared(folder, source, names):
    """A folder with these files, which every user may read."""
    folder.mkdir()
    for name in names:
        shutil.copy(source / name, folder / name)
        (folder / name).chmod(0o644)
    return folder


def test_the_image_says_what_it_is(image):
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in image.config["Labels"].items()}
    assert labels["title"] == "vmguard"
    assert labels["version"] == __version__
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"].startswith("localhost/")
    assert {"description", "revision", "source", "documentation"} <= labels.keys()
    assert image.run(POD, "vmguard", "--version").stdout == f"vmguard {__version__}\n"


def test_the_image_needs_what_the_manifest_gives(image):
    context = POD["securityContext"]
    assert image.config["User"] == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert image.config["Cmd"] == CONTAINER["args"]
    assert {f"{each['containerPort']}/tcp" for each in CONTAINER["ports"]} == image.config["ExposedPorts"].keys()


@pytest.mark.parametrize("interpreter", ["of vmguard", "of the base"])
def test_nothing_in_the_image_installs_packages(image, interpreter):
    python = "python"
    if interpreter == "of the base":
        python = image.run(POD, "python", "-c", "import sys; print(sys._base_executable)").stdout.strip()
    done = image.run(POD, python, "-c", FIND)
    assert done.stdout == "[]\n", done.stderr


def test_every_module_has_its_byte_code(image):
    done = image.run(POD, "python", "-c", IMPORTS)
    assert done.returncode == 0, done.stderr
    compiled = json.loads(done.stdout)
    assert len(compiled) > 500
    assert not [path for path in compiled if not (image.root / path.lstrip("/")).is_file()]


def test_the_image_has_the_locked_packages_and_no_other(image):
    done = image.run(POD, "python", "-c", INSTALLED)
    installed = {canonicalize_name(name): version for name, version in json.loads(done.stdout)}
    assert installed == {**locked("requirements.lock"), "vmguard": __version__}


def test_no_file_of_ours_gives_rights_or_may_be_changed(image):
    found = [path for path in (image.root / "opt").rglob("*") if not path.is_symlink()]
    assert len(found) > 1000
    modes = {path: path.stat() for path in found}
    assert not [path for path, each in modes.items() if each.st_mode & (stat.S_ISUID | stat.S_ISGID)]
    assert not [path for path, each in modes.items() if each.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or each.st_uid]


def test_the_benchmark_says_what_the_image_weighs_and_how_it_starts(image):
    lines = list(sizes(image))
    assert [line.partition(": ")[0] for line in lines[:2]] == ["MB of files, image", "MB of files, base"]
    assert all(float(line.partition(": ")[2]) > 1 for line in lines)
    *_, shown, cold = starts(image, rounds=1)
    assert re.fullmatch(r"image +\d+\.\d\d +\d+\.\d\d", shown)
    assert cold.startswith("image, byte-code not used")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allowPrivilegeEscalation", True),
        ("capabilities", {"drop": ["NET_RAW"]}),
        ("capabilities", {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
        ("procMount", "Unmasked"),
        ("runAsUser", 0),
        ("seccompProfile", {"type": "Unconfined"}),
    ],
)
def test_a_security_context_that_is_not_run_here_is_refused(field, value):
    """So a change of the manifest is no change that these tests miss."""
    with pytest.raises(ValueError, match=r"."):
        confinement(POD["securityContext"], {**CONTAINER["securityContext"], field: value})
