"""`make cluster`: a control plane, its node, the operator's resources and replicas of vmguard, up until Ctrl-C.

For a person who wants to see vmguard in a cluster without having one. It prints what to type next. A stand-in plays
the operator, so of a resource only kind, name and security settings matter.
"""

import argparse
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

from tests.controlplane.api import ApiError
from tests.controlplane.build import UnavailableError
from tests.controlplane.guard import SERVICE, Guard, guarding
from tests.controlplane.plane import ADMIN, ControlPlane, control_plane
from tests.controlplane.process import FailedError
from tests.controlplane.stand_in_operator import operate
from tests.controlplane.versions import NEWEST
from tests.support.in_background import in_background
from tests.support.installed import InstalledCluster, cluster
from tests.support.server import ROOT
from webhook.settings import SETTINGS, STRICT_SECURITY_NAMES

EXAMPLES = Path(os.path.relpath(Path(__file__).parent.parent.parent / "examples"))
NAMESPACE = "monitoring"
_OURS = {
    "POD_NAMESPACE",
    "VMGUARD_CERT_DIR",
    "VMGUARD_LEASE",
    "VMGUARD_LISTEN",
    "VMGUARD_OPS_LISTEN",
    "VMGUARD_SERVICE",
    "VMGUARD_WEBHOOK_CONFIGURATION",
}
"""Settings that are not the person's."""


def main() -> int:
    """Run it; 1 when something could not be had or ended by itself."""
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell that starts this in the background ignores SIGINT
        signal.signal(number, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m tests.controlplane.cluster", description="a cluster with vmguard")
    parser.add_argument("version", nargs="?", default=NEWEST, metavar="VERSION", help=f"default {NEWEST}")
    parser.add_argument("--replicas", type=int, default=1, metavar="NUMBER", help="of vmguard; default 1")
    overlays = sorted(each.name for each in (ROOT / "deploy" / "overlays").iterdir())
    parser.add_argument("--overlay", choices=overlays, help="install vmguard by this overlay of deploy/, in pods")
    options = parser.parse_args()
    parts = f"a control plane of Kubernetes {options.version}, a node and vmguard"
    print(f"Starting {parts}: about half a minute when all programs are built.", flush=True)
    try:
        if options.overlay:
            with cluster(options.version, **_settings()) as made:
                _install(made, options.overlay)
            return 0
        with control_plane(options.version, nodes=True) as plane:
            _stay_up(plane, options.replicas)
    except (UnavailableError, FailedError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nAll ended.")
        return 0
    return 0


def _stay_up(plane: ControlPlane, replicas: int) -> None:
    plane.install_resources()
    plane.namespace(NAMESPACE)
    with guarding(plane, replicas, **_settings()) as guards, _operator(plane) as operator:
        _say(plane, guards)
        serving = list(guards)
        while operator.is_alive():
            plane.check()
            serving = _still_serving(serving)
            time.sleep(0.5)
    raise FailedError("the stand-in operator ended")


def _operator(plane: ControlPlane) -> AbstractContextManager[threading.Thread]:
    """The stand-in operator."""
    stop = threading.Event()
    return in_background(lambda: operate(plane.api_as(*ADMIN), stop), stop.set)


def _install(made: InstalledCluster, overlay: str) -> None:
    """Install an overlay, as docs/install.md does it, and stay up."""
    plane, path = made.plane, os.path.relpath(ROOT / "deploy" / "overlays" / overlay)
    plane.namespace(NAMESPACE)
    print(f"Installing {path}, and waiting until its replicas are ready.", flush=True)
    done = plane.kubectl("apply", "--server-side", "-k", path)
    if done.returncode:
        raise FailedError(f"kubectl apply -k {path}:\n{done.stderr}")
    if overlay != "namespaced":  # there an administrator makes the CA first
        made.rolled_out()
    with _operator(plane) as operator:
        running = [f"- {each.name}: {each.operations}/readyz?verbose, logs in {each.folder}" for each in made.pods()]
        _head(plane, f"runs {path}", *running)
        print("\nThe commands of docs/install.md work here, except kubectl logs and helm test. The image can have any")
        print(f"registry; its tags are {' and '.join(made.kubelet.images)}. This overlay is applied:\n")
        print(f"  kubectl apply --server-side -k {path}")
        print("\nA pod as an operator without security settings makes it, in a namespace that vmguard enforces:\n")
        print(f"  kubectl label namespace {NAMESPACE} vmguard.io/mode=enforce")
        _say_pod()
        print("\nCtrl-C ends it all.", flush=True)
        while operator.is_alive() and not made.kubelet.error:
            plane.check()
            time.sleep(0.5)
    raise FailedError(f"a stand-in ended: {made.kubelet.error or 'the operator'}")


def _still_serving(guards: list[Guard]) -> list[Guard]:
    """The replicas that still run.

    Raises:
        FailedError: the last one has ended.

    """
    left = [guard for guard in guards if guard.process.runs]
    for guard in guards:
        if guard not in left and left:
            print(f"The replica with process {guard.process.pid} has ended; {len(left)} serve on.", flush=True)
        elif guard not in left:
            guard.process.check()
    return left


def _settings() -> dict[str, str]:
    """The person's own settings of vmguard, but where it listens."""
    known = {setting.name for setting in SETTINGS.values()} - _OURS
    return {name: value for name, value in os.environ.items() if name in known or name.upper() in STRICT_SECURITY_NAMES}


def _say(plane: ControlPlane, guards: tuple[Guard, ...]) -> None:
    running = (
        f"- process {each.process.pid}: {each.operations}/readyz?verbose, log {each.process.log}" for each in guards
    )
    _head(plane, f"calls vmguard through the Service {SERVICE.name}.{SERVICE.namespace}", *running)
    print("\nA pod as an operator without security settings makes it, hardened at admission:\n")
    _say_pod()
    print("\nA resource that names a PodSecurityPolicy that is not there, denied:\n")
    print(f"  kubectl apply -f {EXAMPLES / 'cluster-denied.yaml'}")
    if _serves_policies(plane):
        print("\nThe same resource, accepted once there is such a policy:\n")
        print(f"  kubectl apply -f {EXAMPLES / 'cluster-policy.yaml'}")
        print(f"  kubectl apply -f {EXAMPLES / 'cluster-denied.yaml'}")
    if len(guards) > 1:
        print("\nA replica that dies; the others serve on:\n")
        print(f"  kill -9 {guards[0].process.pid}")
        print("\nA new CA, while pods are created:\n")
        vmguard = os.path.relpath(Path(sys.executable).parent / "vmguard")
        for command in ("rotate", "status"):
            print(f"  {vmguard} certs {command} --namespace {SERVICE.namespace}")
    print("\nCtrl-C ends it all.", flush=True)


def _head(plane: ControlPlane, what: str, *details: str) -> None:
    """What is up, and how another terminal gets to it."""
    server = plane.api.request("GET", "/version")["gitVersion"]
    print(f"\nKubernetes {server} is up with one node, and {what}{':' if details else '.'}")
    print("\n".join(("", *details, "")) if details else "")
    print("In another terminal:\n")
    print(f"  export KUBECONFIG={plane.kubeconfig()}")
    if not shutil.which("kubectl"):
        print(f'  export PATH="{shlex.quote(str(plane.programs["kubectl"].parent))}:$PATH"')


def _say_pod() -> None:
    print(f"  kubectl apply -f {EXAMPLES / 'cluster-vmsingle.yaml'}")
    rollout = f"kubectl rollout status -n {NAMESPACE} --timeout=60s deployment/vmsingle-demo"
    print(f"  until {rollout}; do sleep 1; done")
    print(f"  kubectl get -n {NAMESPACE} pod -l app.kubernetes.io/name=vmsingle -o yaml")


def _serves_policies(plane: ControlPlane) -> bool:
    try:
        plane.api.list("policy/v1beta1", "PodSecurityPolicy")
    except ApiError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
