"""`make run`: starts `vmguard serve --standalone` with the examples, shows one real admission, and stays up.

Plain Python and the project's own packages; ends with Ctrl-C and takes the server with it.
"""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from shlex import quote

import yaml

from webhook.admission.admission_review import review_of
from webhook.cli.review import coloured

HERE = Path(os.path.relpath(Path(__file__).parent))
POD, OBJECTS = HERE / "pod.yaml", HERE / "objects.yaml"


def main() -> int:
    """Run the tour; the exit status is the server's."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server ends with it either way
    environment = os.environ.copy()
    for name, port in (("VMGUARD_LISTEN", 8443), ("VMGUARD_OPS_LISTEN", 8080)):
        environment.setdefault(name, f"127.0.0.1:{port if _is_free(port) else 0}")
    command = [sys.executable, "-m", "webhook.cli.main", "serve", "--standalone", "--objects", str(OBJECTS)]
    log = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmguard" / "run.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("ab") as lines,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=lines, env=environment, text=True) as server,
    ):
        try:
            assert server.stdout
            ready = server.stdout.readline().strip()
            if not ready:
                print(f"vmguard did not start; {log} says why", file=sys.stderr)
                return server.wait()
            served, _, ca = ready.partition(", trust ")
            url = served.rpartition(" ")[2]
            print(f"\n{ready}\n")
            _show_admission(url, ca)
            print(f"Try next, in another terminal (the log is {log}):\n")
            print(f"  curl --cacert {quote(ca)} --data-binary @{quote(str(POD))} {url}/dry-run\n")
            print("Ctrl-C ends it.", flush=True)
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()
            server.wait()


def _show_admission(url: str, ca: str) -> None:
    pod = yaml.safe_load(POD.read_text())
    review = review_of(pod, uid="11111111-2222-3333-4444-555555555555", namespace="monitoring", name="")
    answer = json.loads(_post(url, ca, "/mutate", review))["response"]
    told = json.loads(_post(url, ca, "/dry-run", POD.read_bytes()))
    print("One admission: a pod as an operator without security settings makes it, POSTed to /mutate.\n")
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(coloured(told["diff"]) if colour else told["diff"])
    print("Why:")
    for reason in told["posture"][0]["because"]:
        print(f"  {reason}")
    for name, text in answer["auditAnnotations"].items():
        print(f"  {name}: {text}")
    print()


def _post(url: str, ca: str, path: str, body: bytes) -> bytes:
    trusted = ssl.create_default_context(cafile=ca)
    connection = http.client.HTTPSConnection(url.removeprefix("https://"), context=trusted, timeout=10)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    sys.exit(main())
