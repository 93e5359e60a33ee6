"""What is watched is counted by what serves, and what fails says so."""

import asyncio
import io

from webhook.cluster.client import connected
from webhook.cluster.collections import DEFINITIONS
from webhook.cluster.discovery import Discovery
from webhook.cluster.reflector import Reflector
from webhook.cluster.watching import Watching
from webhook.policy.custom_resources import GROUP
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics


def test_a_newer_version_that_goes_again_takes_nothing_from_the_count_of_the_one_that_serves(plane, namespace):
    """The definition said v9 for a moment, which was never listed."""
    single = {"apiVersion": f"{GROUP}/v1beta1", "kind": "VMSingle", "metadata": {"name": "a"}}
    plane.api.create(single, namespace)

    async def counts():
        async with connected(str(plane.kubeconfig())) as client:
            discovery, metrics = Discovery(client, Log("error")), Metrics()
            watching = Watching(client, discovery, (namespace,), Log("error"), metrics)
            running = asyncio.create_task(watching.run())
            await watching.synced()

            def count():
                (metric,) = metrics.cached.collect()
                labels = {"resource": f"vmsingles.{GROUP}", "namespace": namespace}
                return [each.value for each in metric.samples if each.labels == labels]

            found = [count()]
            for version in ("v9", "v8", "v1beta1"):
                discovery.versions["VMSingle"] = version
                watching._follow()
                found.append(count())
            running.cancel()
            await asyncio.wait([running])
            return found

    assert asyncio.run(counts()) == [[1.0]] * 4


def test_a_collection_that_fails_by_our_own_fault_is_told_in_readiness():
    class Broken(Reflector):
        async def run(self):
            raise ValueError("object too deeply nested")

    async def run():
        log = Log("error", io.BytesIO())
        watching = Watching(None, Discovery(None, log), (), log, Metrics())
        reflector = watching._reflectors["CustomResourceDefinition", ""] = Broken(None, DEFINITIONS, "", None, log)
        task = asyncio.create_task(watching._run(("CustomResourceDefinition", ""), reflector))
        await asyncio.sleep(0.05)
        task.cancel()
        return watching.troubles()

    assert "vmguard's own fault: ValueError('object too deeply nested')" in str(asyncio.run(run()))
