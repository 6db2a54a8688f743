"""The audit as OpenTelemetry logs, against a receiver that speaks OTLP over HTTP."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from otlp_receiver import OtlpReceiver

from moorage.models.audit import AuditEntry, AuditKind
from moorage.telemetry import audit_otlp
from moorage.telemetry.audit_otlp import AuditCollector, CollectorFailed

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DENIED = AuditEntry(
    NOON, AuditKind.DENIED, "churn", "churn-1", "/Sql/Execute", "sql.read:cards", "Missing.", "e-1", count=3
)
ACTION = AuditEntry(NOON, AuditKind.ACTION, "churn", "dana", "grant", message="sql.read:users")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


@pytest.fixture
async def collector(receiver: OtlpReceiver) -> AsyncIterator[AuditCollector]:
    made = AuditCollector(receiver.url, {"X-Token": "t0k3n"}, timedelta(seconds=5), version="1.2.3")
    yield made
    await made.close()


def attributes(record) -> dict[str, object]:
    return {each.key: each.value.string_value or each.value.int_value for each in record.attributes}


async def test_each_entry_is_a_record(collector: AuditCollector, receiver: OtlpReceiver) -> None:
    await collector.append([DENIED, ACTION])

    denied, action = receiver.records
    assert denied.time_unix_nano == int(NOON.timestamp()) * 10**9
    assert (denied.severity_text, action.severity_text) == ("WARN", "INFO")
    assert denied.body.string_value == "denied /Sql/Execute sql.read:cards"
    assert attributes(denied) == {
        "event.name": "moorage.audit.denied",
        "moorage.audit.kind": "denied",
        "moorage.audit.installation": "churn",
        "moorage.audit.actor": "churn-1",
        "moorage.audit.action": "/Sql/Execute",
        "moorage.audit.capability": "sql.read:cards",
        "moorage.audit.message": "Missing.",
        "moorage.audit.execution": "e-1",
        "moorage.audit.count": 3,
    }
    assert "moorage.audit.capability" not in attributes(action)
    (resource,) = (each.resource for each in receiver.taken[0].resource_logs)
    assert {each.key: each.value.string_value for each in resource.attributes} == {
        "service.name": "moorage",
        "service.version": "1.2.3",
    }
    assert receiver.headers[0]["X-Token"] == "t0k3n"


async def test_a_collector_that_fails_is_told(collector: AuditCollector, receiver: OtlpReceiver) -> None:
    receiver.status = 503
    with pytest.raises(CollectorFailed, match=r"does not take the audit: it answered 503\."):
        await collector.append([DENIED])
    receiver.status = 200
    await collector.append([DENIED])
    assert len(receiver.records) == 1


async def test_a_collector_that_is_not_there_is_told_without_its_token() -> None:
    with OtlpReceiver() as gone:
        url = gone.url
    collector = AuditCollector(url, {"X-Token": "t0k3n"}, timedelta(seconds=5))
    with pytest.raises(CollectorFailed) as told:
        await collector.append([DENIED])
    await collector.close()
    assert "t0k3n" not in str(told.value)


async def test_what_the_collector_will_not_have_is_not_sent_again(
    collector: AuditCollector, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.rejects = 1
    with caplog.at_level(logging.ERROR):
        await collector.append([DENIED])
    assert "rejected 1 audit entries: too old" in caplog.text


async def test_without_the_library_it_says_what_to_install(
    collector: AuditCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_otlp, "LIBRARY", False)
    with pytest.raises(CollectorFailed, match=r"pip install moorage\[opentelemetry\]"):
        await collector.append([DENIED])
