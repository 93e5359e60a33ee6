"""A definition that names another version for a moment changes nothing of what is cached and counted."""

import asyncio

from tests.support.resource_manifests import custom_resource
from webhook.cluster.client import connected
from webhook.cluster.discovery import Discovery
from webhook.cluster.watching import Watching
from webhook.policy.custom_resources import GROUP
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics


def test_a_newer_version_that_goes_again_takes_nothing_from_the_count_of_the_one_that_serves(plane, namespace):
    """The definition said v9 for a moment, which was never listed."""
    plane.api.create(custom_resource("a"), namespace)

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
