"""One audit from its beginning to its report, of a live cluster or of saved objects."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from webhook import __version__
from webhook.audit.auditor import Auditor, worst_first
from webhook.audit.collect import AuditScope, ClusterReader
from webhook.audit.inventory import Inventory, metadata_of
from webhook.audit.odd_objects import BROKEN, broken
from webhook.audit.report import (
    VERDICTS,
    AuditedNamespace,
    AuditedWorkload,
    AuditReport,
    ClusterHeader,
    MissingPermission,
    NotJudged,
    Summary,
)
from webhook.audit.saved import AuditedCluster, ObjectFile, SavedObjects, lowest_levels
from webhook.audit.verify import Verifier
from webhook.cluster.client import Client
from webhook.cluster.discovery import Discovery
from webhook.cluster.listing import FAILURES
from webhook.cluster.permission import without_advice
from webhook.offline.reply import LevelName
from webhook.policy.json_access import Raw
from webhook.settings import SETTINGS, Settings


class ClusterAudit(msgspec.Struct, frozen=True):
    """What an audit of one cluster found."""

    header: ClusterHeader
    workloads: list[AuditedWorkload]
    namespaces: list[AuditedNamespace]
    not_judged: list[NotJudged]
    missing: list[MissingPermission]


class Watcher(msgspec.Struct, frozen=True):
    """Who takes part in a live audit: a line of progress, and a file for the objects.

    `diffs` is whether rows have a diff and a predicted pod.
    """

    progress: Callable[[str], None]
    save: ObjectFile | None = None
    diffs: bool = True


async def audit_cluster(
    client: Client,
    discovery: Discovery,
    scope: AuditScope,
    settings: Settings,
    watcher: Watcher,
    *,
    verify: bool = False,
) -> ClusterAudit:
    """Audit a live cluster. `discovery` has learnt what it serves. With `verify` it creates pods as dry runs."""
    name, save = client.context, watcher.save
    keep: Callable[[Raw], None] = save.add if save else lambda _thing: None
    reader = ClusterReader(client, discovery, name, scope, watcher.progress, keep)
    await reader.read_objects()
    auditor = Auditor(
        name,
        reader.inventory,
        settings,
        verifier=Verifier(client) if verify else None,
        diffs=watcher.diffs,
        read_controller=reader.read_controller,
    )
    async for pod, whole in reader.pods():
        await auditor.add_pod(pod, whole)
    for text in reader.broken:
        auditor.fail("", text)
    if not scope.selector:
        await auditor.add_resources()
    others, seen = await _other_levels(reader, auditor)
    if scope.selector:
        auditor.doubt("only pods with the labels of --selector were read", *auditor.undecided_namespaces())
        seen = []
    header = ClusterHeader(name, f"1.{discovery.minor}")
    if save:
        save.end(AuditedCluster(name, discovery.minor, reader.missing, reader.inventory.unreadable, others, seen))
    return await _result(header, auditor, reader.missing)


async def audit_saved(
    saved: SavedObjects, name: str, minor: int, scope: AuditScope, settings: Settings, *, diffs: bool = True
) -> ClusterAudit:
    """Audit the objects of a file. `name` and `minor` count where the file does not say where they are from.

    Raises:
        msgspec.ValidationError: an object has a shape that Kubernetes cannot have stored.

    """
    source = saved.cluster or AuditedCluster(name, minor)
    inventory = Inventory(source.minor)
    broken_ones = list(saved.broken)
    for thing in saved.others:
        try:
            inventory.add(thing)
        except BROKEN as error:
            broken_ones.append(f"{thing.get('kind')} {metadata_of(thing).get('name')}: {broken(error)}")
    inventory.unreadable.update(source.unreadable)
    kinds = {str(each.get("kind")) for each in saved.others}
    if saved.cluster is None and "CSIDriver" not in kinds:
        inventory.unreadable["CSIDriver"] = "the file has none"
    inventory.resources = [each for each in inventory.resources if _in_scope(each, scope)]
    auditor = Auditor(source.name, inventory, settings, diffs=diffs)
    seen: set[object] = set()
    for pod in saved.pods:
        uid = metadata_of(pod).get("uid")
        if _in_scope(pod, scope) and not (isinstance(uid, str) and uid in seen):
            seen.add(uid if isinstance(uid, str) else None)
            await auditor.add_pod(pod)
    for text in broken_ones:
        auditor.fail("", text)
    await auditor.add_resources()
    for namespace, level in source.others.items():
        auditor.add_level(namespace, level)
    auditor.doubt(_NOT_ALL, *(each for each in auditor.undecided_namespaces() if each not in source.seen))
    return await _result(ClusterHeader(source.name, f"1.{source.minor}"), auditor, source.missing)


def report_of(audits: Sequence[ClusterAudit], settings: Settings) -> AuditReport:
    """The report on one or more clusters."""
    workloads = sorted((each for audit in audits for each in audit.workloads), key=worst_first)
    missing = [each for audit in audits for each in audit.missing]
    not_judged = [each for audit in audits for each in audit.not_judged]
    verdicts = {verdict: sum(each.verdict == verdict for each in workloads) for verdict in VERDICTS}
    return AuditReport(
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        vmguard_version=__version__,
        clusters=[audit.header for audit in audits],
        settings=assumed(settings),
        complete=not missing and not not_judged,
        missing=missing,
        not_judged=not_judged,
        workloads=workloads,
        namespaces=[each for audit in audits for each in audit.namespaces],
        summary=Summary(sum(each.pods for each in workloads), len(workloads), verdicts),
    )


ASSUMED = (
    "strict_security",
    "mode",
    "enforce",
    "unknown",
    "harden_sidecars",
    "disable_automount",
    "run_as",
)
"""The settings that decide what becomes of a pod; an audit may assume others than the defaults."""


def assumed(settings: Settings) -> dict[str, str]:
    """The settings that the report rests on, by the names of their variables."""
    values = ((SETTINGS[field].name, getattr(settings, field)) for field in ASSUMED)
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values}


_NOT_ALL = "the file does not say that it has all pods of the namespace"


async def _other_levels(reader: ClusterReader, auditor: Auditor) -> tuple[dict[str, LevelName], list[str]]:
    """The levels of pods that are none of the operator's, where they decide what a namespace could enforce.

    And the namespaces of which all pods were seen.
    """
    found: list[tuple[str, LevelName]] = []
    seen: list[str] = []
    for namespace in auditor.undecided_namespaces():
        try:
            found += [(namespace, auditor.level_of(pod)) async for pod in _unaudited(reader, auditor, namespace)]
            seen.append(namespace)
        except FAILURES as error:
            auditor.doubt(f"its other pods could not be read: {without_advice(str(error))}", namespace)
    levels = lowest_levels(found)
    for namespace, level in levels.items():
        auditor.add_level(namespace, level)
    return levels, seen


async def _unaudited(reader: ClusterReader, auditor: Auditor, namespace: str) -> AsyncIterator[Raw]:
    async for pod in reader.other_pods(namespace):
        if str(metadata_of(pod).get("uid")) not in auditor.audited_others:
            yield pod


async def _result(header: ClusterHeader, auditor: Auditor, missing: Iterable[MissingPermission]) -> ClusterAudit:
    return ClusterAudit(header, auditor.workloads(), await auditor.namespaces(), auditor.not_judged(), list(missing))


def _in_scope(thing: Raw, scope: AuditScope) -> bool:
    return not scope.namespaces or str(metadata_of(thing).get("namespace") or "default") in scope.namespaces
