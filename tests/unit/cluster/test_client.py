"""The connection to a cluster: which cluster it leads to, and which namespace is vmguard's own."""

import asyncio
from datetime import UTC, datetime

import pytest

from certs import DirectoryStore, ensure
from webhook.cluster.client import NoClusterError, connected


@pytest.mark.parametrize("text", [None, "", "x: [", "kind: Config", "- 1"])
def test_a_kubeconfig_that_cannot_be_used_is_told_in_one_line(text, tmp_path):
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)

    async def connect():
        async with connected(str(path)):
            pass

    with pytest.raises(NoClusterError, match="no cluster to serve") as told:
        asyncio.run(connect())
    assert str(told.value) != ": no cluster to serve"


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
