"""What a subcommand loads: no library that only another subcommand, or another process, uses."""

import subprocess
import sys

import pytest

from tests.support.server import environment

pytestmark = pytest.mark.slow

CLUSTER = {"aiohttp", "kubernetes", "pydantic"}
SERVER = {"cryptography", "prometheus_client", "starlette", "uvicorn", "uvloop"}


PAGE = {"jinja2", "markupsafe"}


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("webhook.cli.serve_standalone", CLUSTER | PAGE),
        ("webhook.server.worker", CLUSTER | SERVER | PAGE | {"asyncio"}),
        ("webhook.cli.review", CLUSTER | SERVER | PAGE | {"asyncio"}),
        ("webhook.cli.level", CLUSTER | SERVER | PAGE | {"asyncio", "jsonpatch"}),
        ("webhook.cli.main", CLUSTER | SERVER | PAGE | {"asyncio", "jsonpatch", "yaml"}),
        ("webhook.cli.certs", CLUSTER | SERVER | PAGE | {"asyncio", "jsonpatch", "yaml"}),
        ("webhook.cli.explain", CLUSTER | SERVER | PAGE | {"asyncio", "jsonpatch", "yaml"}),
    ],
)
def test_a_command_loads_no_library_that_it_does_not_use(module, unused):
    """A command starts without the libraries of the other commands."""
    assert not _loaded(module) & unused


def test_a_server_in_a_cluster_loads_them_all():
    """The names of the libraries above are right; no server makes the page of an audit."""
    loaded = _loaded("webhook.cli.serve_cluster")
    assert loaded >= CLUSTER | SERVER
    assert not loaded & PAGE
    assert _loaded("webhook.audit.html_report") >= PAGE


def test_a_server_in_a_cluster_loads_only_what_every_replica_uses():
    """The library's models of all objects are 25 MiB and a second of processor time; few leaders need them."""
    loaded = _modules("webhook.cli.serve_cluster")
    assert "webhook.cluster.event_writer" in loaded
    assert not loaded & {"webhook.cluster.apply", "kubernetes.aio.client.api.core_v1_api"}


def _loaded(module):
    return {name.partition(".")[0] for name in _modules(module)}


def _modules(module):
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    return set(done.stdout.split())
