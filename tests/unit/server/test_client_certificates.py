"""Which clients are served, by the file of their CAs and by the names of their certificates."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from certs import Authority, CertificateError
from webhook.server.client_certificates import ClientCertificates
from webhook.settings import Settings, SettingsError


@pytest.fixture(scope="module")
def authority():
    return Authority.create("clients", now=datetime.now(UTC), lifetime=timedelta(days=1)).certificate_pem


@pytest.fixture
def file(tmp_path, authority):
    path = tmp_path / "clients.crt"
    path.write_bytes(authority)
    return path


SHOWN = {
    "subject": ((("organizationName", "system:masters"),), (("commonName", "kube-apiserver"),)),
    "subjectAltName": (("DNS", "api.example"), ("URI", "spiffe://cluster/api")),
}


@pytest.mark.parametrize("names", [(), ("kube-apiserver",), ("other", "api.example"), ("spiffe://cluster/api",)])
def test_a_certificate_with_one_of_the_names_is_admitted(file, names):
    assert ClientCertificates(file, names).refusal(SHOWN) == ""


@pytest.mark.parametrize("names", [("other",), ("KUBE-APISERVER",), ("system:masters",), ("*.example",)])
def test_a_certificate_without_one_of_the_names_is_refused_with_its_names(file, names):
    """Names are compared to the letter. An organisation is no name."""
    assert ClientCertificates(file, names).refusal(SHOWN) == (
        "the client's certificate has kube-apiserver, api.example, spiffe://cluster/api, "
        "and none of VMGUARD_CLIENT_NAMES"
    )


@pytest.mark.parametrize("certificate", [None, {}])
def test_a_client_without_a_certificate_is_not_served(file, certificate):
    assert ClientCertificates(file).refusal(certificate) == "the client has no certificate"


def test_the_context_requires_a_certificate_of_a_ca_of_the_file(file):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ClientCertificates(file).ask(context)
    assert context.verify_mode == ssl.CERT_OPTIONAL
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize(("content", "said"), [(b"", "cannot be read as"), (b"no PEM", "cannot be read as")])
def test_a_file_without_certificates_is_an_error_that_names_it(file, content, said):
    file.write_bytes(content)
    with pytest.raises(CertificateError, match=said) as refused:
        ClientCertificates(file)
    assert f"VMGUARD_CLIENT_CA_FILE={file}" in str(refused.value)


def test_a_file_that_is_missing_or_damaged_later_changes_nothing(file, authority):
    clients = ClientCertificates(file)
    assert not clients.look()
    for damage in (file.unlink, lambda: file.write_bytes(b"no PEM")):
        damage()
        with pytest.raises(CertificateError, match="VMGUARD_CLIENT_CA_FILE"):
            clients.look()
    file.write_bytes(authority)
    assert not clients.look()
    file.write_bytes(authority + authority)
    assert clients.look()


def test_a_certificate_that_only_openssl_refuses_is_an_error_and_the_last_good_one_counts(file, monkeypatch):
    """Else the renewal of the serving certificate would end with it."""
    clients = ClientCertificates(file)

    def refuse(*_arguments, **_named):
        raise ssl.SSLError("not this one")

    class Refusing(ssl.SSLContext):
        load_verify_locations = refuse

    monkeypatch.setattr("webhook.server.client_certificates.ssl.SSLContext", Refusing)
    with pytest.raises(CertificateError, match="OpenSSL rejects"):
        clients.look()
    monkeypatch.undo()
    assert clients.look() is False


def test_names_without_a_ca_stop_the_start():
    with pytest.raises(SettingsError, match="VMGUARD_CLIENT_NAMES needs VMGUARD_CLIENT_CA_FILE"):
        Settings.from_environment({"VMGUARD_CLIENT_NAMES": "kube-apiserver"})
