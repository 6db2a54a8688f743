"""The audit of a real host, with every sink that there is, and a plugin whose right counts only while they take it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from otlp_receiver import OtlpReceiver
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.audit import AuditSettings
from moorage.config.settings import Settings
from moorage.models.audit import AuditKind
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.grants import GrantOrder
from moorage.telemetry.audit_file import verify_files

WAIT_SECONDS = 60

SENDS = """
    from moorage_sdk import Plugin
    from moorage_sdk.kafka import Producer

    plugin = Plugin()

    @plugin.task
    def execute(kafka: Producer, input: str = "payments") -> None:
        kafka.send(input, "one").result(timeout=10)
"""


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def audited(settings: Settings, tmp_path: Path, collector: OtlpReceiver) -> Settings:
    audit = AuditSettings(file=tmp_path / "log" / "audit.jsonl", otlp=collector.url)
    return settings.model_copy(update={"audit": audit})


async def test_every_sink_is_told_and_changes_show(audited: Settings, tmp_path: Path, collector: OtlpReceiver) -> None:
    project = write_plugin(tmp_path, SENDS, required=["kafka.produce:payments"])
    async with Host(audited) as host, asyncio.timeout(WAIT_SECONDS):
        await host.install(project)
        await host.grants.grant("probe", GrantOrder(required=True, because="ticket 7"), by="dana")
        await host.call("probe")
        refused = await host.run(ExecutionRequest("probe", input="cards"))
        assert refused.state is ExecutionState.FAILED
        (granted,) = await host.audit_trail.read(actor="dana")
        assert (granted.action, granted.message) == ("grant", "kafka.produce:payments: ticket 7")
        (denied,) = await host.audit_trail.read(kind=AuditKind.DENIED, capability="kafka.produce:*")
        assert denied.capability == "kafka.produce:cards"
        assert (await host.audit_trail.verify()).broken_at is None
        assert [sink.name for sink in await host.audit_trail.sinks()] == ["store", "file", "opentelemetry"]
        use = await host.grants.use("probe")
        produce = next(each for each in use.methods if each.method == "KafkaService.Produce")
        assert (produce.calls, produce.denied) == (1, 1)
        (grant,) = (await host.installation("probe")).grants
        assert (grant.uses, grant.used_at is not None) == (1, True)

    assert audited.audit.file is not None
    written = verify_files([audited.audit.file])
    assert (written.broken_at, written.entries) == (None, len(collector.records))
    kinds = {each.value.string_value for record in collector.records for each in record.attributes}
    assert {"action", "denied", "allowed", "kafka.produce:cards", "dana"} <= kinds

    with closing(sqlite3.connect(audited.store_path)) as store:
        store.execute("UPDATE audit SET actor = 'eve' WHERE actor = 'dana'")
        store.commit()
    async with Host(audited) as host, asyncio.timeout(WAIT_SECONDS):
        report = await host.audit_trail.verify()
        assert report.broken_at == granted.id
        # Use outlives the host.
        assert (await host.installation("probe")).grants[0].uses == 1


async def test_whatever_is_granted_is_in_the_audit_however_it_is_granted(settings: Settings, tmp_path: Path) -> None:
    required = [f"kafka.produce:{number:0200}" for number in range(12)]
    project = write_plugin(tmp_path, SENDS, required=required, optional=["kafka.produce:extra"])
    async with Host(settings) as host, asyncio.timeout(WAIT_SECONDS):
        await host.install(project, grant=["kafka.produce:extra"], grant_required=True, by="dana")
        await host.revoke("probe", ["kafka.produce:extra"], by="dana")
        await host.reload("probe", grant=["kafka.produce:extra"], by="ada")
        entries = await host.audit_trail.read(installation="probe", kind=AuditKind.ACTION)
    told = [(entry.actor, entry.action, text) for entry in entries for text in entry.message.split(", ")]
    granted = [(actor, text) for actor, action, text in told if action == "grant"]
    by_dana = [("dana", text) for text in [*required, "kafka.produce:extra"]]
    assert sorted(granted) == sorted([("ada", "kafka.produce:extra"), *by_dana])
    assert ("dana", "revoke", "kafka.produce:extra") in told


async def test_a_grant_that_fails_closed_waits_for_the_collector(
    audited: Settings, tmp_path: Path, collector: OtlpReceiver
) -> None:
    project = write_plugin(tmp_path, SENDS, required=["kafka.produce:payments"], optional=["kafka.produce:news"])
    async with Host(audited) as host, asyncio.timeout(WAIT_SECONDS):
        await host.install(project, grant=["kafka.produce:news"])
        await host.grants.grant("probe", GrantOrder(required=True, fail_closed=True))
        await host.call("probe")

        collector.status = 503
        await host.call("probe")
        await _until(lambda: "opentelemetry" in host._parts.audit.down)
        refused = await host.run(ExecutionRequest("probe"))
        assert refused.state is ExecutionState.FAILED
        assert refused.error is not None
        assert "may use kafka.produce:payments only while the host's audit can be written" in refused.error.message
        await host.call("probe", input="news")
        _, _, state = await host.audit_trail.sinks()
        assert (state.problem, state.waiting > 0) == (
            "The OpenTelemetry collector does not take the audit: it answered 503.",
            True,
        )

        collector.status = 200
        await _until(lambda: not host._parts.audit.down)
        await host.call("probe")
    kept = [
        each.value.string_value
        for record in collector.records
        for each in record.attributes
        if each.key == "moorage.audit.capability"
    ]
    # Each call under it in full: the two before, the one that was refused, and the one after.
    assert kept.count("kafka.produce:payments") >= 4


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)
