"""What a subcommand loads: no library that only another subcommand, or another process, uses."""

import subprocess
import sys

import pytest

from tests.support.server import environment

CLUSTER = {"aiohttp", "kubernetes", "pydantic"}
SERVER = {"cryptography", "prometheus_client", "starlette", "uvicorn", "uvloop"}


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("webhook.cli.serve_standalone", CLUSTER),
        ("webhook.server.worker", CLUSTER | SERVER | {"asyncio"}),
        ("webhook.cli.review", CLUSTER | SERVER | {"asyncio"}),
        ("webhook.cli.level", CLUSTER | SERVER | {"asyncio", "jsonpatch"}),
        ("webhook.cli.main", CLUSTER | SERVER | {"asyncio", "jsonpatch", "yaml"}),
        ("webhook.cli.certs", CLUSTER | SERVER | {"asyncio", "jsonpatch", "yaml"}),
        ("webhook.cli.explain", CLUSTER | SERVER | {"asyncio", "jsonpatch", "yaml"}),
    ],
)
def test_a_command_loads_no_library_that_it_does_not_use(module, unused):
    """A command starts without the libraries of the other commands."""
    assert not _loaded(module) & unused


def test_a_server_in_a_cluster_loads_them_all():
    """The names of the libraries above are right."""
    assert _loaded("webhook.cli.serve_cluster") >= CLUSTER | SERVER


def _loaded(module):
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}
