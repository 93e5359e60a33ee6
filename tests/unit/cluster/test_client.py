"""The connection to a cluster: which cluster it leads to, and which namespace is vmguard's own."""

import asyncio
import json
import os
from datetime import UTC, datetime

import pytest

from certs import DirectoryStore, ensure
from webhook.cluster.client import NoClusterError, connected


@pytest.mark.parametrize("text", [None, "", "x: [", "kind: Config", "- 1"])
def test_a_kubeconfig_that_cannot_be_used_is_an_error_of_one_line(text, tmp_path):
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)

    async def connect():
        async with connected(str(path)):
            pass

    with pytest.raises(NoClusterError, match="no cluster to serve") as told:
        asyncio.run(connect())
    assert str(told.value) != ": no cluster to serve"


def _refused(kubeconfig):
    async def connect():
        async with connected(str(kubeconfig)):
            pass

    with pytest.raises(NoClusterError) as told:
        asyncio.run(connect())
    return str(told.value)


def _kubeconfig(path, user, cluster=None):
    named = {
        "clusters": [{"name": "c", "cluster": {"server": "https://localhost:1", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "x", **named}))


NAMED = {
    "tokenFile": lambda name: ({"tokenFile": name}, {}),
    "client-key": lambda name: ({"client-key": name, "client-certificate": name}, {}),
    "certificate-authority": lambda name: ({}, {"certificate-authority": name}),
}


@pytest.mark.parametrize("field", NAMED)
def test_a_fifo_that_a_kubeconfig_names_is_an_error_and_blocks_nothing(field, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    _kubeconfig(tmp_path / "config", *NAMED[field]("pipe"))
    assert f"{tmp_path}/pipe: no regular file" in _refused(tmp_path / "config")


@pytest.mark.parametrize("field", NAMED)
def test_a_file_that_every_user_can_change_is_refused_with_the_command_that_helps(field, tmp_path):
    (tmp_path / "file").write_text("t")
    (tmp_path / "file").chmod(0o666)
    _kubeconfig(tmp_path / "config", *NAMED[field](str(tmp_path / "file")))
    refusal = _refused(tmp_path / "config")
    assert f"mode 0666 lets every user of this machine change it: run chmod o-w {tmp_path}/file" in refusal


def test_a_kubeconfig_itself_must_be_a_regular_file_that_others_cannot_change(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    _kubeconfig(tmp_path / "config", {})
    assert "no regular file" in _refused(tmp_path / "pipe")
    assert "no regular file" in _refused(f"{tmp_path}/config:{tmp_path}/pipe")
    (tmp_path / "config").chmod(0o646)
    assert "mode 0646" in _refused(tmp_path / "config")


def test_in_a_pod_our_namespace_is_the_pods(tmp_path, monkeypatch):
    """The library's files are where a pod has them; here they are elsewhere."""
    from kubernetes.aio.config import incluster_config  # noqa: PLC0415

    ensure(DirectoryStore(tmp_path), ("localhost",), now=datetime.now(UTC))
    (tmp_path / "token").write_text("t")
    (tmp_path / "namespace").write_text("pods-own\n")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr("webhook.cluster.client.OWN_NAMESPACE", tmp_path / "namespace")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    monkeypatch.delenv("KUBECONFIG", raising=False)

    async def ask():
        async with connected("") as client:
            return client.namespace

    assert asyncio.run(ask()) == "pods-own"
