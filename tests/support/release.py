"""A vmguard that is installed as its manifests install it: a Service, an empty Secret and both configurations.

Any number of replicas serve it; the API server reaches them through the Service. What routes the requests to them is a
`Routing`: `egress` on this machine's loopback, or `service_network` with EndpointSlices.
"""

import base64
import itertools
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509

from certs import Authority, Rotation, certificates_in, from_data, to_data
from tests.controlplane.api import ApiError, Object, wait_for
from tests.controlplane.plane import ControlPlane
from tests.controlplane.registration import LABEL
from tests.support.admission_pods import bare_pod
from tests.support.certificates import signed_by
from tests.support.server import Server, serving_own_certificate
from webhook.manifests.webhooks import Service, configurations

ADMISSION = "admissionregistration.k8s.io/v1"
KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
SECRET = "vmguard-ca"

_COUNT = itertools.count(1)


class ReplicaStart(Protocol):
    """What starts a replica, as `serving_own_certificate` does."""

    def __call__(
        self, folder: Path, kubeconfig: Path, alterations: Sequence[str], /, **extra: str
    ) -> AbstractContextManager[Server]:
        """A replica that ends with the block, with a folder of its own and `extra` in its environment."""


class Routing(Protocol):
    """The way from the API server to the replicas of Services."""

    def listen(self) -> dict[str, str]:
        """The settings with which the next replica listens."""

    def add(self, service: Object, server: Server) -> None:
        """A replica belongs to a Service from now on."""

    def cut(self) -> None:
        """End every connection, where that can be done, so that the API server makes new ones."""


class Release:
    """One installation. Its configurations select namespaces with its label only, so that several fit one cluster.

    `service` is the name of its Service. In `namespace`, where that is given, another installation is already.
    """

    def __init__(
        self,
        plane: ControlPlane,
        routing: Routing,
        folder: Path,
        stack: ExitStack,
        service: str = "vmguard",
        namespace: str = "",
    ) -> None:
        self.plane = plane
        self.name = f"release-{next(_COUNT)}"
        self.service = service
        self.secret = f"{service}-ca"
        self.namespace = namespace or plane.namespace(self.name)
        self.pods = plane.namespace(f"{self.name}-pods", {LABEL: self.name})
        self.server_name = f"{service}.{self.namespace}.svc"
        self._folder, self._stack = folder, stack
        self._replicas = itertools.count(1)
        self._made = itertools.count(1)
        self.refusal = ""
        ports = [{"port": 443, "targetPort": 8443}]
        made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": service}, "spec": {"ports": ports}}
        self._service = plane.api.create(made, self.namespace)
        self._routing = routing
        self.restore_secret()

    def restore_secret(self) -> None:
        """Create the empty Secret, as the manifests and the error's command do."""
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.secret}, "type": "Opaque"}
        self.plane.api.create(secret, self.namespace)

    def configure(self) -> None:
        """Create both configurations, without bundles."""
        for each in self.manifests():
            self.plane.api.create(each)

    def manifests(self) -> list[dict[str, Any]]:
        """Both installed configurations."""
        made = configurations(Service(self.namespace, self.service), name=self.name)
        for each in made:
            for entry in each["webhooks"]:
                entry.setdefault("namespaceSelector", {})["matchLabels"] = {LABEL: self.name}
        return list(made)

    def remove(self) -> None:
        """Delete the configurations."""
        for kind in KINDS:
            self.plane.api.delete_if_there(ADMISSION, kind, self.name)

    def replica(
        self,
        kubeconfig: Path | None = None,
        alterations: Sequence[str] = (),
        start: ReplicaStart = serving_own_certificate,
        **environment: str,
    ) -> Server:
        """Start another replica, the administrator's or another user's; it ends with the release.

        It serves, and may not be ready. `alterations` are those of `altered_vmguard`.
        """
        folder = self._folder / f"replica-{next(self._replicas)}"
        folder.mkdir(parents=True)
        names = {
            "POD_NAMESPACE": self.namespace,
            "VMGUARD_WEBHOOK_CONFIGURATION": self.name,
            "VMGUARD_SERVICE": self.service,
        }
        settings = {**names, **self._routing.listen(), **environment}
        started = start(folder, kubeconfig or self.plane.kubeconfig(), alterations, **settings)
        server = self._stack.enter_context(started)
        self._routing.add(self._service, server)
        return server

    def ready(self, *servers: Server) -> None:
        """Wait until these replicas are ready."""
        for server in servers:
            wait_for(lambda server=server: server.operation("/readyz") == (200, "ok"), "a replica to be ready")

    def data(self) -> dict[str, bytes]:
        """The data of the Secret."""
        found = self.plane.api.get("v1", "Secret", self.secret, self.namespace).get("data") or {}
        return {key: base64.b64decode(value) for key, value in found.items()}

    def write_data(self, data: dict[str, bytes]) -> None:
        """Replace the data of the Secret."""
        found = self.plane.api.get("v1", "Secret", self.secret, self.namespace)
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        self.plane.api.replace({**found, "data": encoded})

    def state(self) -> Rotation:
        """The state of the rotation in the Secret."""
        return from_data(self.data(), self.server_name)[0]

    def write_state(self, state: Rotation) -> None:
        """Write a state into the Secret, like another process."""
        self.write_data(to_data(state))

    def install(self, bundle: bytes) -> None:
        """Write a bundle into each entry, as an administrator."""
        for kind in KINDS:
            found = self.plane.api.get(ADMISSION, kind, self.name)
            for entry in found["webhooks"]:
                entry["clientConfig"]["caBundle"] = base64.b64encode(bundle).decode()
            self.plane.api.replace(found)

    def bundles(self) -> set[str]:
        """The different bundles in both configurations, "" for an entry without one."""
        found = [self.plane.api.get(ADMISSION, kind, self.name) for kind in KINDS]
        return {entry["clientConfig"].get("caBundle", "") for each in found for entry in each["webhooks"]}

    def bundles_in(self, kind: str) -> list[tuple[x509.Certificate, ...]]:
        """The certificates in the bundle of each entry of one configuration."""
        entries = self.plane.api.get(ADMISSION, kind, self.name)["webhooks"]
        pems = [base64.b64decode(entry["clientConfig"].get("caBundle", "")) for entry in entries]
        return [certificates_in(pem, kind) if pem else () for pem in pems]

    def is_installed(self) -> bool:
        """Whether each entry has the bundle of the state in the Secret."""
        return self.bundles() == {base64.b64encode(self.state().bundle).decode()}

    def installed(self) -> None:
        """Wait until each entry has the bundle of the state in the Secret."""

        def probe() -> bool:
            with suppress(ApiError):
                return self.is_installed()
            return False

        wait_for(probe, "the bundle to be installed")

    def admits(self) -> bool:
        """Whether a pod is admitted, by a connection of its own; without an answer of vmguard it is not.

        `refusal` is then what the API server says.
        """
        self._routing.cut()
        try:
            self.plane.api.create(bare_pod(name=f"pod-{next(self._made)}"), self.pods)
        except ApiError as error:
            if "failed calling webhook" in str(error):
                self.refusal = str(error)
                return False
            raise
        return True

    def shown(self, server: Server) -> x509.Certificate:
        """The certificate that a replica shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((server.host, server.port)) as connection,
            context.wrap_socket(connection, server_hostname=self.server_name) as tls,
        ):
            return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))

    def shows_leaf_of(self, server: Server, authority: Authority) -> bool:
        """Whether an authority has signed the certificate that a replica shows."""
        return signed_by(self.shown(server), authority.certificate)


@contextmanager
def release(plane: ControlPlane, routing: Routing, folder: Path, **names: str) -> Iterator[Release]:
    """An installation without configurations and replicas; all that is added to it ends with the block."""
    with ExitStack() as stack:
        made = Release(plane, routing, folder, stack, **names)
        try:
            yield made
        finally:
            made.remove()
