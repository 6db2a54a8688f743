from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.incarnation import IncarnationState, IncarnationStatus, Verdict, VerdictKind
from moorage.models.log import LogLine
from moorage.store import incarnations
from moorage.store.store import Store

from .conftest import NOW

LINE = LogLine("churn", "churn-1-ab", NOW, 20, "churn", "counted", fields={"users": 3})
ENTRY = AuditEntry(NOW, AuditKind.DENIED, "churn", "churn-1-ab", "/moorage.v1.SqlService/Execute", "sql.read:cards")


async def test_log_lines_are_numbered_in_order(store: Store) -> None:
    lines = [replace(LINE, message=str(number), execution="e-1" if number % 2 else "") for number in range(600)]

    stored = await store.logs.append(lines)

    assert [replace(line, id=0) for line in stored] == lines
    assert [line.id for line in stored] == sorted({line.id for line in stored})
    assert await store.logs.read(limit=1000) == stored
    assert await store.logs.read(limit=3) == stored[-3:]
    assert await store.logs.read(after=stored[9].id, limit=2) == stored[10:12]
    assert await store.logs.read(execution="e-1", limit=1000) == stored[1::2]
    assert await store.logs.read(installation="other") == ()
    assert await store.logs.append([]) == ()


async def test_trimming_keeps_the_newest_of_that_installation(store: Store) -> None:
    await store.logs.append([replace(LINE, installation=name) for name in ["a", "b"] * 10])

    assert await store.logs.trim("a", keep=4) == 6
    assert await store.logs.trim("a", keep=4) == 0

    assert len(await store.logs.read(installation="a")) == 4
    assert len(await store.logs.read(installation="b")) == 10


async def test_an_instant_is_utc_whatever_zone_it_came_in(store: Store) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=-8)))
    await store.logs.append([replace(LINE, time=local)])

    (line,) = await store.logs.read()

    assert line.time == NOW
    assert line.time.utcoffset() == timedelta(0)
    with pytest.raises(ValueError, match="no time zone"):
        await store.logs.append([replace(LINE, time=NOW.replace(tzinfo=None))])


async def test_audit_entries_come_back(store: Store) -> None:
    await store.audit.append([ENTRY, replace(ENTRY, installation="b", count=7, message="six more", execution="e-1")])

    first, second = await store.audit.read()

    assert replace(first, id=0) == ENTRY
    assert (second.count, second.execution) == (7, "e-1")
    assert await store.audit.read(after=first.id) == (second,)
    assert await store.audit.read(installation="b") == (second,)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET message = 'nothing happened' WHERE id = 3",
        "UPDATE audit SET occurrences = 2 WHERE id = 3",
        "UPDATE audit SET time = '2026-11-20 09:31:00.000000' WHERE id = 3",
        "DELETE FROM audit WHERE id = 2",
    ],
)
async def test_tampering_with_the_audit_is_evident(store: Store, tampering: str) -> None:
    for number in range(3):
        await store.audit.append([replace(ENTRY, message=f"{number}.{part}") for part in range(2)])
    whole = await store.audit.verify()

    await store._database.write(lambda connection: connection.exec_driver_sql(tampering))

    broken = await store.audit.verify()
    assert (whole.entries, whole.broken_at) == (6, None)
    assert broken.broken_at == 3


async def test_what_is_left_of_a_pruned_audit_can_be_verified(store: Store) -> None:
    for day in range(6):
        await store.audit.append([replace(ENTRY, time=NOW + timedelta(days=day, hours=hour)) for hour in range(2)])
    whole = await store.audit.verify()

    assert await store.audit.prune(before=NOW + timedelta(days=2), limit=3) == 3
    assert await store.audit.prune(before=NOW + timedelta(days=2), limit=3) == 1
    assert await store.audit.prune(before=NOW + timedelta(days=2), limit=3) == 0
    left = await store.audit.verify()
    assert (left.entries, left.pruned, left.broken_at, left.last_digest) == (8, 4, None, whole.last_digest)
    assert "4 older ones were removed for their age" in left.sentence

    await store.audit.append([replace(ENTRY, time=NOW + timedelta(days=9))])
    assert (await store.audit.verify()).entries == 9
    await store._database.write(lambda connection: connection.exec_driver_sql("DELETE FROM audit WHERE id = 5"))
    assert (await store.audit.verify()).broken_at == 6


async def test_an_audit_of_which_nothing_is_left_goes_on(store: Store) -> None:
    await store.audit.append([ENTRY, ENTRY])
    digest = (await store.audit.verify()).last_digest
    assert await store.audit.prune(before=NOW + timedelta(days=1), limit=10) == 2
    assert (await store.audit.verify()).last_digest == digest

    await store.audit.append([ENTRY])
    report = await store.audit.verify()
    assert (report.entries, report.pruned, report.broken_at) == (1, 2, None)


async def test_incarnations_are_numbered_once(store: Store) -> None:
    numbers = [await store.incarnations.next_number("churn") for _ in range(3)]

    assert numbers == [1, 2, 3]
    assert await store.incarnations.next_number("other") == 1


async def test_an_incarnation_keeps_its_first_verdict(store: Store) -> None:
    starting = IncarnationStatus("churn-1-ab", 1, "churn", IncarnationState.STARTING, 0, "zygote", "none", NOW)
    ready = replace(starting, state=IncarnationState.READY, pid=12, sandbox_level="full", ready_at=NOW, python="3.9")
    verdict = Verdict(
        VerdictKind.SIGNALLED,
        "It was killed by SIGSEGV.",
        signal="SIGSEGV",
        traceback="Fatal",
        stack="Thread 0x1",
        lines=("one", "two"),
    )
    ended = replace(ready, state=IncarnationState.STOPPED, stopped_at=NOW, verdict=verdict)

    assert await store.incarnations.record(starting)
    assert await store.incarnations.living() == (starting,)
    assert await store.incarnations.record(ready)
    assert await store.incarnations.record(ended)
    assert not await store.incarnations.record(replace(ended, verdict=Verdict(VerdictKind.EXITED, "No.")))
    assert not await store.incarnations.record(ready)

    assert await store.incarnations.living() == ()
    assert await store.incarnations.list("churn") == (ended,)


async def test_a_start_that_failed_may_be_recorded_at_its_end_alone(store: Store) -> None:
    verdict = Verdict(VerdictKind.START_DEADLINE, "It was not ready after 30 s.")
    for number in (1, 2):
        status = IncarnationStatus(f"i-{number}", number, "churn", IncarnationState.STOPPED, 0, "fresh", "none", NOW)
        assert await store.incarnations.record(replace(status, verdict=verdict, stopped_at=NOW))

    assert [found.number for found in await store.incarnations.list("churn")] == [2, 1]


async def test_the_oldest_dead_workers_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incarnations, "KEPT", 3)
    ended = IncarnationStatus(
        "churn-1",
        1,
        "churn",
        IncarnationState.STOPPED,
        0,
        "zygote",
        "full",
        NOW,
        verdict=Verdict(VerdictKind.EXITED, "No."),
    )
    lives = replace(ended, id="churn-2", number=2, state=IncarnationState.READY, verdict=None)
    neighbour = replace(ended, id="other-1", installation="other")
    for status in (ended, lives, neighbour, *(replace(ended, id=f"churn-{each}", number=each) for each in range(3, 9))):
        await store.incarnations.record(status)

    assert [each.number for each in await store.incarnations.list("churn")] == [8, 7, 6, 2]
    assert len(await store.incarnations.list("other")) == 1


async def test_the_audit_can_be_searched(store: Store) -> None:
    later = replace(ENTRY, time=ENTRY.time + timedelta(hours=1), actor="dana", kind=AuditKind.ACTION, capability="")
    await store.audit.append(
        [
            replace(ENTRY, capability="sql.read:100%_users"),
            replace(ENTRY, capability="sql.read:1000users", installation="b"),
            later,
        ]
    )

    async def found(**filters: object) -> list[int]:
        return [entry.id for entry in await store.audit.read(**filters)]

    assert await found(kind=AuditKind.ACTION) == [3]
    assert await found(actor="dana") == [3]
    assert await found(since=later.time) == [3]
    assert await found(capability="sql.read:*") == [1, 2]
    assert await found(capability="sql.read:100%_*") == [1]
    assert await found(capability="sql.read:100") == []
    assert await found(capability="sql.read:*", installation="b", kind=ENTRY.kind) == [2]
    assert await found(limit=2) == [2, 3]
    assert await found(limit=2, oldest=True) == [1, 2]


async def test_an_unknown_kind_is_tampering_too(store: Store) -> None:
    await store.audit.append([ENTRY, ENTRY])
    await store._database.write(lambda connection: connection.exec_driver_sql("UPDATE audit SET kind = 'harmless'"))

    report = await store.audit.verify()

    assert (report.broken_at, report.entries) == (1, 0)
    assert "entry 1 is not what was written" in report.sentence
