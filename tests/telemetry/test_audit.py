from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from moorage.config.audit import AuditSettings
from moorage.models.audit import AuditEntry, AuditKind
from moorage.telemetry.audit import Audit
from moorage.telemetry.masking import MASK, Masker
from moorage.telemetry.outlet import WAITING_PER_INSTALLATION
from moorage.telemetry.tally import KEYS_PER_INSTALLATION, Denials

from .conftest import Clock, Sink


@contextlib.asynccontextmanager
async def opened(
    sink: Sink, clock: Clock, allowed: str = "counted", interval: timedelta = timedelta(hours=1)
) -> AsyncIterator[Audit]:
    audit = Audit(sink, AuditSettings.model_validate({"allowed": allowed}), now=clock, interval=interval)
    await audit.open()
    yield audit
    await audit.close()


def denial(clock: Clock, capability: str = "sql.read:cards", installation: str = "churn") -> AuditEntry:
    return AuditEntry(clock(), AuditKind.DENIED, installation, "churn-1", "/Sql/Execute", capability, "Missing.", "e-1")


async def test_the_first_denial_of_a_minute_is_kept_in_full_and_all_are_counted(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as audit:
        for _ in range(5):
            audit.denied(denial(clock))
        audit.denied(denial(clock, "sql.read:orders"))
        await audit.flush()
        full, other, counted = sink.stored
        assert (full.message, full.execution, full.count) == ("Missing.", "e-1", 1)
        assert other.capability == "sql.read:orders"
        assert (counted.count, counted.capability) == (4, "sql.read:cards")
        assert counted.message == "4 more like it in the minute from 09:30 UTC."

        clock.advance(minutes=1)
        audit.denied(denial(clock))
        await audit.flush()
        assert sink.stored[3].message == "Missing."
    assert sum(entry.count for entry in sink.stored) == 7


async def test_counts_of_a_minute_that_is_over_are_written_without_asking(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock, interval=timedelta(milliseconds=1)) as audit:
        audit.denied(denial(clock))
        audit.denied(denial(clock))
        audit.allowed("churn", "churn-1", "/Log/Write", "")
        clock.advance(minutes=1)
        async with asyncio.timeout(5):
            while len(sink.stored) < 3:
                await asyncio.sleep(0.001)
    assert [(entry.kind, entry.count) for entry in sink.stored] == [("denied", 1), ("denied", 1), ("allowed", 1)]


@pytest.mark.parametrize(("policy", "counts"), [("none", []), ("counted", [2, 1]), ("all", [1, 1, 1])])
async def test_allowed_calls_follow_the_policy(sink: Sink, clock: Clock, policy: str, counts: list[int]) -> None:
    async with opened(sink, clock, policy) as audit:
        audit.allowed("churn", "churn-1", "/Sql/Execute", "sql.read:users", "e-1")
        audit.allowed("churn", "churn-1", "/Sql/Execute", "sql.read:users", "e-1")
        audit.allowed("churn", "churn-1", "/Sql/Execute", "sql.read:plays", "e-2")
    assert [entry.count for entry in sink.stored] == counts
    assert all(entry.kind is AuditKind.ALLOWED for entry in sink.stored)


async def test_a_plugin_that_invents_names_is_counted_in_bounded_memory(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as audit:
        for number in range(3 * KEYS_PER_INSTALLATION):
            audit.denied(denial(clock, f"sql.read:{number}"))
            audit.allowed("churn", "churn-1", "/Kafka/Produce", f"kafka.produce:{number}")
        audit.denied(denial(clock, installation="other"))
        await audit.flush()
        assert len(sink.stored) <= 2 * KEYS_PER_INSTALLATION + 3
    for kind in (AuditKind.DENIED, AuditKind.ALLOWED):
        own = [entry for entry in sink.stored if entry.kind is kind and entry.installation == "churn"]
        assert sum(entry.count for entry in own) == 3 * KEYS_PER_INSTALLATION
        assert any("too many to name" in entry.message for entry in own)
    assert [entry.message for entry in sink.stored if entry.installation == "other"] == ["Missing."]


async def test_what_the_store_cannot_take_is_counted_and_others_do_not_suffer(sink: Sink, clock: Clock) -> None:
    sink.failure = OSError("disk full")
    async with opened(sink, clock, "all") as audit:
        for _ in range(WAITING_PER_INSTALLATION + 700):
            audit.allowed("churn", "churn-1", "/Log/Write", "")
        audit.denied(denial(clock, installation="other"))
        with pytest.raises(OSError, match="disk full"):
            await audit.flush()
        assert sink.stored == []

        sink.failure = None
        await audit.flush()
    churn = [entry for entry in sink.stored if entry.installation == "churn"]
    assert sum(entry.count for entry in churn) == WAITING_PER_INSTALLATION + 700
    assert churn[-1].message == "700 came faster than they could be stored, and were only counted."
    assert [entry.message for entry in sink.stored if entry.installation == "other"] == ["Missing."]


async def test_a_persons_action_is_kept_in_order(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock, "none") as audit:
        for command in ("grant", "revoke", "grant"):
            audit.record(AuditEntry(clock(), AuditKind.ACTION, "churn", "dana", command))
    assert [entry.action for entry in sink.stored] == ["grant", "revoke", "grant"]


async def test_a_plugins_words_are_made_harmless(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as audit:
        audit.denied(denial(clock, "sql.read:\x1b[2J\u202e\x00" + "x" * 5_000))
    (entry,) = sink.stored
    assert entry.capability.startswith("sql.read:\\x1b[2J\\u202e\\x00xxx")
    assert len(entry.capability) < 1_100


async def test_a_hanging_store_holds_nobody_up(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as audit:
        sink.gate.clear()
        audit.denied(denial(clock))
        flushing = asyncio.ensure_future(audit.flush())
        await asyncio.sleep(0)
        for _ in range(1_000):
            audit.denied(denial(clock))
        flushing.cancel()
        sink.gate.set()
    assert sum(entry.count for entry in sink.stored) == 1_001


async def test_a_naive_time_is_refused_at_the_door(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as audit:
        clock.time = clock.time.replace(tzinfo=None)
        with pytest.raises(ValueError, match="no zone"):
            audit.record(denial(clock))
        clock.time = clock.time.astimezone()


async def test_a_sink_that_fails_takes_nothing_from_the_others(sink: Sink, clock: Clock) -> None:
    other = Sink()
    other.failure = OSError("no route to host")
    audit = Audit(sink, AuditSettings(), further={"other": other}, now=clock, interval=timedelta(milliseconds=1))
    await audit.open()
    audit.denied(denial(clock))
    await until(lambda: audit.down == "other")
    await audit.flush()

    assert len(sink.stored) == 1
    store, broken = audit.sinks
    assert (store.name, store.problem, store.waiting) == ("store", "", 0)
    assert (broken.problem, broken.since, broken.waiting) == ("no route to host", clock.time, 1)

    other.failure = None
    await until(lambda: not audit.down)
    assert [entry.message for entry in other.stored] == ["Missing."]
    assert audit.sinks[1].problem == ""
    await audit.close()


async def test_it_is_told_before_there_is_no_room_for_entries_in_full(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as audit:
        sink.gate.clear()
        kept = 0
        while not audit.is_crowded("churn"):
            audit.allowed("churn", "churn-1", "/Sql/Execute", "sql.read:cards", in_full=True)
            kept += 1
        assert kept < WAITING_PER_INSTALLATION - 1_000
        assert not audit.is_crowded("other")
        for _ in range(1_000):
            audit.allowed("churn", "churn-1", "/Sql/Execute", "sql.read:cards", in_full=True)
        sink.gate.set()
        await audit.flush()
        assert not audit.is_crowded("churn")
    assert [entry.count for entry in sink.stored] == [1] * (kept + 1_000)


async def test_a_sink_that_hangs_counts_as_down(sink: Sink, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage.telemetry.outlet.PATIENCE_SECONDS", 0.001)
    async with opened(sink, clock, interval=timedelta(milliseconds=1)) as audit:
        sink.gate.clear()
        audit.denied(denial(clock))
        await until(lambda: audit.down == "store")
        assert "has not taken a batch for" in audit.sinks[0].problem
        sink.gate.set()
        await until(lambda: not audit.down)


async def test_what_is_to_be_kept_in_full_is_whatever_the_policy(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock, "none") as audit:
        audit.allowed("churn", "churn-1", "/Sql/Execute", "sql.read:cards", "e-1", in_full=True)
        audit.allowed("churn", "churn-1", "/Sql/Execute", "sql.read:users", "e-1")
    assert [(entry.capability, entry.execution) for entry in sink.stored] == [("sql.read:cards", "e-1")]


async def test_what_is_lost_at_the_end_is_told(sink: Sink, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    sink.failure = OSError("disk full")
    async with opened(sink, clock) as audit:
        for _ in range(3):
            audit.denied(denial(clock))
    assert "3 entries of the audit were not written to store: disk full" in caplog.text


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_verb_of_a_capability_is_seen_whatever_is_masked(sink: Sink, clock: Clock) -> None:
    audit = Audit(sink, AuditSettings(), now=clock, mask=Masker(["sql.read:cards", "4111-1111"]).text)
    await audit.open()
    audit.denied(denial(clock, "sql.read:cards"))
    audit.denied(denial(clock, "redis.read:main/4111-1111"))
    await audit.close()
    assert [entry.capability for entry in sink.stored] == ["sql.read:cards", f"redis.read:main/{MASK}"]


def test_denials_are_told_when_the_clock_was_set_back(clock: Clock) -> None:
    """Not only when it has come again to where it was."""
    denials = Denials()
    kept = [denials.add(denial(clock)) for _ in range(3)]
    assert [entry is not None for entry in kept] == [True, False, False]
    assert denials.take(clock(), everything=False) == []
    clock.advance(days=-1)
    assert [entry.count for entry in denials.take(clock(), everything=False)] == [2]


async def test_a_capability_of_megabytes_costs_nothing(sink: Sink, clock: Clock) -> None:
    looked_at = 0

    def mask(text: str) -> str:
        nonlocal looked_at
        looked_at += len(text)
        return text

    audit = Audit(sink, AuditSettings(), now=clock, mask=mask)
    await audit.open()
    audit.allowed("churn", "churn-1", "/Shop/Buy", "shop.buy:" + "x" * 3_000_000, in_full=True)
    await audit.close()
    assert looked_at < 10_000
    assert sink.stored[0].capability == f"shop.buy:{'x' * 1_000} [2999000 characters cut]"
