"""What is watched: the exempt namespaces are followed, and vmguard's own faults are reported in readiness."""

import asyncio
import io
from types import SimpleNamespace

from webhook.cluster.advice import general_advice
from webhook.cluster.collections import DEFINITIONS
from webhook.cluster.discovery import Discovery
from webhook.cluster.reflector import Reflector
from webhook.cluster.watching import Watching
from webhook.objects import KubeObject, Metadata
from webhook.telemetry.log import Log
from webhook.telemetry.metrics import Metrics

NO_CLIENT = SimpleNamespace(advise=general_advice)
"""Nothing here makes a request."""


def test_a_collection_that_fails_by_our_own_fault_is_named_in_readiness():
    class Broken(Reflector):
        async def run(self):
            raise ValueError("object too deeply nested")

    async def run():
        log = Log("error", io.BytesIO())
        watching = Watching(NO_CLIENT, Discovery(NO_CLIENT, log), (), log, Metrics())
        reflector = watching._reflectors["CustomResourceDefinition", ""] = Broken(None, DEFINITIONS, "", None, log)
        task = asyncio.create_task(watching._run(("CustomResourceDefinition", ""), reflector))
        await asyncio.sleep(0.05)
        task.cancel()
        return watching.troubles()

    assert "vmguard's own fault: ValueError('object too deeply nested')" in str(asyncio.run(run()))


def test_the_names_of_exempt_namespaces_follow_their_labels():
    log = Log("error", io.BytesIO())
    watching = Watching(NO_CLIENT, Discovery(NO_CLIENT, log), (), log, Metrics())
    yes = {"vmguard.io/exempt": "true"}

    def changed(name, labels):
        watching._namespace(("", name), None if labels is None else KubeObject(Metadata(name=name, labels=labels)))

    for name, labels in (("a", yes), ("b", yes), ("c", yes), ("plain", {}), ("kube-system", yes)):
        changed(name, labels)
    assert watching.exempt == {"a", "b", "c"}
    changed("b", {"vmguard.io/exempt": "false"})
    changed("c", None)
    changed("plain", yes)
    assert watching.exempt == {"a", "plain"}


def test_the_names_of_namespaces_with_an_unknown_label_follow_their_labels():
    log = Log("error", io.BytesIO())
    watching = Watching(NO_CLIENT, Discovery(NO_CLIENT, log), (), log, Metrics())

    def changed(name, labels):
        watching._namespace(("", name), None if labels is None else KubeObject(Metadata(name=name, labels=labels)))

    changed("trial", {"vmguard.io/mode": "Enforce"})
    changed("denies", {"vmguard.io/enforce": "Deny"})
    changed("gone", {"vmguard.io/exempt": "yes"})
    changed("good", {"vmguard.io/mode": "enforce", "vmguard.io/enforce": "deny", "team": "a"})
    assert set(watching.mislabelled()) == {"trial", "denies", "gone"}
    changed("trial", {"vmguard.io/mode": "enforce"})
    changed("gone", None)
    assert set(watching.mislabelled()) == {"denies"}
