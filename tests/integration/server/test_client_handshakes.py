"""With VMGUARD_CLIENT_CA_FILE only clients with a certificate of that CA can send reviews."""

import http.client
import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs import Authority
from tests.controlplane.api import wait_for
from tests.support.admission_reviews import pod_review
from tests.support.patience import PATIENCE
from tests.support.sample_pods import vmsingle
from tests.support.server import serving
from tests.support.signed_certificates import signed
from webhook.server.admission_handler import WEBHOOKS


@pytest.fixture(scope="module")
def authorities():
    """The CA of the API server's client, and another one of the same name."""
    now = datetime.now(UTC)
    return [Authority.create("clients", now=now, lifetime=timedelta(days=1)) for _ in range(2)]


@pytest.fixture(scope="module")
def server(tmp_path_factory, authorities):
    folder = tmp_path_factory.mktemp("clients")
    (folder / "clients.crt").write_bytes(authorities[0].certificate_pem)
    settings = {"VMGUARD_CLIENT_CA_FILE": str(folder / "clients.crt"), "VMGUARD_CLIENT_NAMES": "api,kube-apiserver"}
    with serving(folder, vmsingle()[1], **settings) as running:
        yield running


def ask(server, folder, pem=b"", path="/mutate"):
    """`(status, body)` of a request with a client certificate, `(0, error)` where the server ends the connection."""
    context = ssl.create_default_context(cafile=server.ca)
    if pem:
        (folder / "client.pem").write_bytes(pem)
        context.load_cert_chain(folder / "client.pem")
    connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=PATIENCE)
    try:
        review = json.dumps(pod_review(vmsingle()[0])) if path in WEBHOOKS else None
        method = "POST" if review else "GET"
        connection.request(method, path, review, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def refused(server):
    """How many clients were refused for their certificate."""
    text = server.operation("/metrics")[1]
    line = 'vmguard_connections_ended_total{listener="webhook",reason="client-certificate"} '
    return next((float(each.removeprefix(line)) for each in text.splitlines() if each.startswith(line)), 0.0)


def test_a_client_with_a_certificate_of_the_ca_and_one_of_the_names_is_served(server, authorities, tmp_path):
    assert ask(server, tmp_path, signed(authorities[0], "kube-apiserver", client=True))[0] == 200


@pytest.mark.parametrize("path", WEBHOOKS)
def test_a_client_without_a_certificate_can_send_no_review(server, tmp_path, path):
    before = refused(server)
    status, body = ask(server, tmp_path, path=path)
    assert (status, "the client has no certificate" in body) == (403, True)
    assert refused(server) == before + 1


@pytest.mark.parametrize("path", ["/healthz", "/docs"])
def test_people_need_no_certificate(server, tmp_path, path):
    """They read the documentation and ask `/dry-run`."""
    assert ask(server, tmp_path, path=path)[0] == 200


def test_a_client_with_a_certificate_that_the_ca_did_not_sign_gets_no_answer_and_is_counted(
    server, authorities, tmp_path
):
    """A certificate of another CA with the same name, and a certificate for servers."""
    before = refused(server)
    for number, pem in enumerate(
        (signed(authorities[1], "kube-apiserver", client=True), signed(authorities[0], "kube-apiserver"))
    ):
        assert ask(server, tmp_path, pem)[0] == 0
        wait_for(lambda number=number: refused(server) == before + number + 1, "the client to be counted")
    assert [line for line in server.lines() if "a client has no certificate that a CA of" in line["message"]]


def test_a_client_with_another_name_gets_a_403_that_says_why(server, authorities, tmp_path):
    before = refused(server)
    status, body = ask(server, tmp_path, signed(authorities[0], "somebody", client=True))
    assert status == 403
    assert "the client's certificate has somebody, and none of VMGUARD_CLIENT_NAMES" in body
    assert refused(server) == before + 1


def test_a_large_review_of_a_stranger_is_not_read(server, tmp_path):
    """The answer comes before its body, of which the client has sent nothing."""
    context = ssl.create_default_context(cafile=server.ca)
    with (
        socket.create_connection(("localhost", server.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 6000000\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")


def test_the_operations_listener_needs_no_certificate(server):
    """The kubelet and Prometheus have none."""
    assert server.operation("/readyz")[0] == 200


def test_the_file_is_read_again_while_serving(server, authorities, tmp_path):
    """With both CAs, then with the new one alone; a damaged file changes nothing and is reported."""
    file = Path(server.ca).parent.parent / "clients.crt"
    old, new = (signed(each, "kube-apiserver", client=True) for each in authorities)
    file.write_bytes(b"".join(each.certificate_pem for each in authorities))
    wait_for(lambda: ask(server, tmp_path, new)[0] == 200, "the new CA to count")
    assert ask(server, tmp_path, old)[0] == 200
    file.write_bytes(b"no PEM")
    wait_for(lambda: "VMGUARD_CLIENT_CA_FILE" in server.operation("/readyz?verbose")[1], "the damage to be reported")
    assert ask(server, tmp_path, old)[0] == 200
    file.write_bytes(authorities[1].certificate_pem)
    wait_for(lambda: ask(server, tmp_path, old)[0] == 0, "the old CA to count no more")
    assert ask(server, tmp_path, new)[0] == 200
