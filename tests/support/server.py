"""A real `vmguard serve --standalone` process on free ports; the caller ends it."""

import http.client
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any

from certs import DirectoryStore, ensure
from tests.controlplane.process import leashed
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parent.parent.parent
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_NOT_EPHEMERAL = range(20_000, 32_768)
LISTEN = {"VMGUARD_LISTEN": "127.0.0.1:0", "VMGUARD_OPS_LISTEN": "127.0.0.1:0", "VMGUARD_SHUTDOWN_DELAY": "0"}
"""The settings of every server here: free ports of this machine, and an end without a wait."""

READY = re.compile(r"vmguard serves (https://\S+?)(?:, trust (\S+))?\n")


_OPERATIONS = re.compile(r'"operations":"([^"]+)"')


def serving_at(output: str) -> tuple[int, str] | None:
    """The port of the webhook and the address of the operations listener; None before a server serves.

    `output` is what it wrote, its log too.
    """
    url, operations = READY.search(output), _OPERATIONS.search(output)
    return (int(url[1].rpartition(":")[2]), operations[1]) if url and operations else None


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without settings of vmguard, and the project importable from anywhere."""
    kept = {
        k: v for k, v in os.environ.items() if not k.upper().startswith(("VMGUARD_", "VM_", "ENABLESTRICT", "WATCH_"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str
    ca: str
    operations: str
    log: Path

    @property
    def host(self) -> str:
        """The address at which it listens."""
        host = self.url.removeprefix("https://").rpartition(":")[0]
        return "127.0.0.1" if host == "localhost" else host

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def connect(self) -> http.client.HTTPSConnection:
        trusted = ssl.create_default_context(cafile=self.ca)
        return http.client.HTTPSConnection("localhost", self.port, context=trusted, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json"):
        """`(status, headers, body)` of one request on a connection of its own; the body decoded when it is JSON."""
        connection = self.connect()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            headers = {"Content-Type": content_type} if content_type else {}
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read()
            is_json = response.headers.get("content-type", "").startswith("application/json")
            return response.status, response.headers, json.loads(text) if is_json else text.decode(errors="replace")
        finally:
            connection.close()

    def dry_run(self, question: Any, content_type: str = "application/json"):
        """As `ask` of /dry-run, again while its worker starts, or has too little processor time for its 2 s (429)."""
        until = time.monotonic() + PATIENCE
        while (answer := self.ask("POST", "/dry-run", question, content_type))[0] == 429 and time.monotonic() < until:
            time.sleep(0.1)
        return answer

    def operation(self, path: str) -> tuple[int, str]:
        try:
            with _DIRECTLY.open(f"{self.operations}{path}", timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def lines(self) -> list[dict[str, Any]]:
        """What is logged of all that was answered so far."""
        if self.process.poll() is None:
            with suppress(OSError):  # a turn of the event loop has ended before this is answered
                self.operation("/healthz")
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def metric(self, name: str) -> float:
        """A metric without labels."""
        return float(re.search(rf"^{name} (\S+)$", self.operation("/metrics")[1], re.MULTILINE)[1])

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(folder: Path, objects: list[dict[str, Any]], **extra: str) -> Iterator[Server]:
    """A standalone server that knows `objects`, with `extra` in its environment."""
    known = folder / "objects.json"
    known.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    with _running(folder, ["--standalone", "--objects", str(known), *_cert_dir(folder)], extra) as server:
        yield server


@contextmanager
def serving_cluster(folder: Path, kubeconfig: Path, **extra: str) -> Iterator[Server]:
    """A server of the cluster that `kubeconfig` leads to, with a certificate for localhost."""
    ensure(DirectoryStore(folder / "certs"), ("localhost", "127.0.0.1"), now=datetime.now(UTC))
    with _running(folder, ["--kubeconfig", str(kubeconfig), *_cert_dir(folder)], extra) as server:
        yield server


@contextmanager
def serving_own_certificate(
    folder: Path, kubeconfig: Path, alterations: Sequence[str] = (), **extra: str
) -> Iterator[Server]:
    """A server of a cluster that makes its certificate itself; `alterations` are those of `altered_vmguard`."""
    with _running(folder, ["--kubeconfig", str(kubeconfig)], extra, alterations) as server:
        yield server


@contextmanager
def starting_cluster(
    folder: Path, kubeconfig: Path, *, own_certificate: bool = False, **extra: str
) -> Iterator[Server]:
    """A server that need not become ready: it has its log and its operations listener."""
    address = f"127.0.0.1:{free_port()}"
    options = ["--kubeconfig", str(kubeconfig)]
    if not own_certificate:
        ensure(DirectoryStore(folder / "certs"), ("localhost", "127.0.0.1"), now=datetime.now(UTC))
        options += _cert_dir(folder)
    with _process(folder, options, {"VMGUARD_OPS_LISTEN": address, **extra}) as process:
        yield Server(process, "", str(folder / "certs" / "ca.crt"), f"http://{address}", folder / "log")


def free_port() -> int:
    """A port of 127.0.0.1 without a listener, which Linux gives to no socket that requests any port."""
    for port in SystemRandom().sample(_NOT_EPHEMERAL, len(_NOT_EPHEMERAL)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def _cert_dir(folder: Path) -> list[str]:
    return ["--cert-dir", str(folder / "certs")]


@contextmanager
def running(folder: Path, command: Sequence[str], variables: dict[str, str]) -> Iterator[Server]:
    """The server that a command starts with exactly this environment, once it is ready; its log is in the folder."""
    with _started(folder, command, variables) as process:
        yield _ready(process, folder / "log")


@contextmanager
def _running(
    folder: Path, options: list[str], extra: dict[str, str], alterations: Sequence[str] = ()
) -> Iterator[Server]:
    with _process(folder, options, extra, alterations) as process:
        yield _ready(process, folder / "log")


def _ready(process: subprocess.Popen[str], log: Path) -> Server:
    assert process.stdout
    readable = select.poll()  # select() takes no descriptor above 1023
    readable.register(process.stdout, select.POLLIN)
    assert readable.poll(PATIENCE * 1000), f"not ready: {log.read_text()}"
    ready = READY.fullmatch(process.stdout.readline())
    assert ready, log.read_text()
    started = next(line for line in map(json.loads, log.read_text().splitlines()) if line["message"] == "serving")
    return Server(process, ready[1], ready[2] or "", started["operations"], log)


@contextmanager
def _process(
    folder: Path, options: list[str], extra: dict[str, str], alterations: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    program = ["tests.support.altered_vmguard", *alterations, "--"] if alterations else ["webhook.cli.main"]
    command = [sys.executable, "-m", *program, "serve", *options]
    with _started(folder, command, environment(**LISTEN | extra)) as process:
        yield process


@contextmanager
def _started(folder: Path, command: Sequence[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with (
        (folder / "log").open("wb") as stderr,
        subprocess.Popen(
            leashed(command), stdout=subprocess.PIPE, stderr=stderr, text=True, env=variables, cwd=folder
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
