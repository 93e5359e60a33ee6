"""What happens to vmguard while pods are created, as a table of scenarios, and how one is played.

The API server calls replicas of vmguard through a Service and its EndpointSlice, with failurePolicy Fail. A scenario is
played again and again until there are enough creates. The short form (tests) and the long form (`bench.availability`)
differ in the number of creates and in `when_short`.

The address of a killed replica stays in the EndpointSlice until a probe of its readiness fails. The API server tries
one address for each request and never repeats a POST, so no webhook can prevent these refusals. Controllers repeat
creates.
"""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from certs import AUTHORITY_LIFETIME, AUTHORITY_NAME, Authority
from tests.controlplane.api import wait_for
from tests.controlplane.network_namespace import network_namespace
from tests.controlplane.plane import API_SERVER, CONTROLLERS, ControlPlane, control_plane
from tests.controlplane.process import leashed
from tests.controlplane.registration import LABEL
from tests.controlplane.service_network import ServiceNetwork, service_network
from tests.support.altered_vmguard import LEAF_EVERY_SECOND, NO_OVERLAP, SHORT_KEEP_ALIVE, SHORT_OVERLAP
from tests.support.certificates import signed_by
from tests.support.pod_load import Outcome, PodLoad, Rhythm, owned_pods
from tests.support.release import Release, release
from tests.support.server import ROOT, Server, environment

NAMESPACES = 3
"""With pods of the load."""

FLAGS = {
    CONTROLLERS: ["--controllers=serviceaccount-controller,root-ca-certificate-publisher-controller"],
}
"""No controller acts on the load's pods and their owners."""

ONE_POOL = "--feature-gates=WebhookRoundTripLoadBalancing=false"
"""The API server of Kubernetes up to 1.36 chooses an address for each connection. That of 1.37 chooses one for each
request, so it no longer uses connections to an address that has left the EndpointSlice. (Source of apiserver v0.37.2.)
"""

_COUNT = itertools.count(1)


@dataclass
class Play:
    """A scenario that is being played: the installation, its replicas that serve, all `started` ones, and the load."""

    plane: ControlPlane
    network: ServiceNetwork
    release: Release
    load: PodLoad
    alterations: tuple[str, ...]
    shutdown_delay: str
    replicas: list[Server] = field(default_factory=list)
    started: list[Server] = field(default_factory=list)

    def start(self) -> Server:
        """Start another replica."""
        settings = {"VMGUARD_SHUTDOWN_DELAY": self.shutdown_delay}
        server = self.release.replica(alterations=self.alterations, **settings)
        self.replicas.append(server)
        self.started.append(server)
        return server

    def reached(self) -> None:
        """Wait until all replicas are in the EndpointSlice."""
        self.network.reaches(*self.replicas)

    def wait(self, creates: int) -> None:
        """Wait until there are so many creates more."""
        wanted = self.load.outcome.creates + creates

        def made() -> bool:
            self.load.check()
            return self.load.outcome.creates >= wanted

        wait_for(made, f"{creates} creates")


def _rolling_restart(play: Play) -> None:
    """Each replica is replaced as a Deployment does: maxUnavailable 0, maxSurge 1."""
    for old in tuple(play.replicas):
        play.start()
        play.reached()
        play.replicas.remove(old)
        play.network.terminate(old)
    play.wait(50)


def _kill_one(play: Play) -> None:
    """One replica is killed; later another one takes its place."""
    killed = play.replicas.pop(0)
    killed.process.kill()
    play.wait(200)
    play.start()
    play.reached()


def _rotate_ca(play: Play) -> None:
    """A new CA comes into use in three phases, until all replicas show a certificate of it."""
    installation = play.release
    before = installation.state()
    lifetime, name = AUTHORITY_LIFETIME, installation.server_name
    due = Authority.create(AUTHORITY_NAME, now=datetime.now(UTC), lifetime=lifetime, only=name)
    installation.write_state(replace(before, next=due))

    def changed() -> bool:
        play.load.check()
        return all(signed_by(installation.shown(server), due.certificate) for server in play.replicas)

    wait_for(changed, "all replicas to show a certificate of the next CA", interval=0.5)
    play.wait(50)


def _wait(play: Play) -> None:
    play.wait(200)


def _restart_api_server(play: Play) -> None:
    play.plane.stop_api_server()
    play.plane.start_api_server()
    play.wait(200)


def _flood(play: Play) -> None:
    """Other clients call each replica without a pause."""
    with ExitStack() as stack:
        for server in play.replicas:
            words = [server.host, str(server.port), play.release.server_name]
            command = [sys.executable, "-m", "tests.support.flood_of_clients", *words]
            flood = stack.enter_context(subprocess.Popen(leashed(command), env=environment(), cwd=ROOT))
            stack.callback(flood.kill)
        play.wait(300)


USUAL = Rhythm()

PAUSES = Rhythm(at_once=50, spread=0, every=5.8)
"""Bursts after pauses in which a server with a keep-alive of 5 s closes its connections. The next burst begins before
the API server learns of that."""

_GONE = (
    r"failed calling webhook.*(dial tcp 10\.\S+: connect: connection refused|: EOF|: connection reset by peer"
    r"|: broken pipe|use of closed network connection)$"
)
"""Answers to a create whose request went to a replica that was killed."""


@dataclass(frozen=True)
class Scenario:
    """One row. `loses` is what a control is for: creates must be refused.

    `alterations` are those of `altered_vmguard`, `when_short` more of them in the short form. `fin_delay` and
    `shutdown_delay` are in seconds. `refusals` is a pattern of the answers that are no fault of vmguard; "" for none.
    """

    name: str
    play: Callable[[Play], None]
    replicas: int = 2
    rhythm: Rhythm = USUAL
    alterations: tuple[str, ...] = ()
    when_short: tuple[str, ...] = ()
    fin_delay: float = 0.0
    shutdown_delay: str = "5"
    refusals: str = ""
    loses: bool = False

    def faults(self, outcome: Outcome) -> list[str]:
        """What vmguard may not let happen."""
        refused = [each for each in outcome.refused if not (self.refusals and re.search(self.refusals, each))]
        return [*refused, *(f"not hardened: {each}" for each in outcome.unhardened)]


SCENARIOS = (
    Scenario("rolling restart", _rolling_restart),
    Scenario("kill -9 of one", _kill_one, replicas=3, refusals=_GONE),
    Scenario("CA rotation", _rotate_ca, when_short=(SHORT_OVERLAP,)),
    Scenario("a new leaf every second", _wait, alterations=(LEAF_EVERY_SECOND,)),
    Scenario("rolling restart, FIN delayed by 1 s", _rolling_restart, fin_delay=1.0),
    Scenario("bursts after pauses, FIN delayed by 1 s", _wait, rhythm=PAUSES, fin_delay=1.0),
    Scenario("API server restarted", _restart_api_server),
    Scenario("flood of other clients", _flood),
)

LONG_SCENARIOS = (
    Scenario(
        "rolling restart in pauses, ending for 95 s",
        _rolling_restart,
        rhythm=PAUSES,
        fin_delay=1.0,
        shutdown_delay="95",
    ),
)
"""In the long form only, as they take minutes."""

CONTROLS = (
    Scenario("keep-alive of 5 s", _wait, rhythm=PAUSES, alterations=(SHORT_KEEP_ALIVE,), fin_delay=1.0, loses=True),
    Scenario("rotation without overlap", _rotate_ca, alterations=(NO_OVERLAP,), loses=True),
)


@contextmanager
def availability_plane(flags: Sequence[str] = ()) -> Iterator[ControlPlane]:
    """A control plane in a network namespace that reaches Services by their EndpointSlices.

    `flags` are more arguments of the API server.

    Raises:
        UnavailableError: there can be no namespace or no control plane on this machine.

    """
    with network_namespace(), control_plane(flags={**FLAGS, API_SERVER: flags}, endpoint_slices=True) as plane:
        plane.install_resources()
        yield plane


def played(scenario: Scenario, plane: ControlPlane, folder: Path, creates: int, *, short: bool = False) -> Outcome:
    """Play a scenario until there are so many creates, at least once; what became of them.

    A control ends when a create was refused.
    """
    with service_network(plane, scenario.fin_delay) as network, release(plane, network, folder) as installation:
        installation.configure()
        labels = {LABEL: installation.name}
        namespaces = [plane.namespace(f"load-{next(_COUNT)}", labels) for _ in range(NAMESPACES)]
        pods = owned_pods(plane, namespaces)
        alterations = scenario.alterations + (scenario.when_short if short else ())
        load = PodLoad(plane, pods, scenario.rhythm)
        play = Play(plane, network, installation, load, alterations, scenario.shutdown_delay)
        try:
            for _ in range(scenario.replicas):
                play.start()
            play.reached()
            wait_for(installation.admits, "a pod to be admitted")
            load.start()
            try:
                while load.outcome.creates < creates and not (scenario.loses and load.outcome.refused):
                    scenario.play(play)
            finally:
                outcome = load.stop()
        finally:
            for server in play.started:
                server.process.kill()
        return outcome
