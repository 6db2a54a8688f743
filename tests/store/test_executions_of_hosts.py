"""Whose word an execution is: keys, hosts, attempts; and lists that stay fast. Over all that can be a store."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, text

from moorage.models.execution import Attempt, Execution, ExecutionError, ExecutionState, ResourceUse
from moorage.models.log import LogLine, LogRange
from moorage.store import schema
from moorage.store.executions import _new_values
from moorage.store.hosts import Hosts
from moorage.store.store import Store

from .test_executions import FACTS, NOW, queued


def own(identity: str = "e-1", **values: object) -> Execution:
    return replace(queued(identity), host="here", **values)  # type: ignore[arg-type]


def ended(execution: Execution, state: ExecutionState = ExecutionState.SUCCEEDED) -> Execution:
    return replace(execution, state=state, ended_at=NOW)


async def test_a_key_is_one_execution(store: Store) -> None:
    first = own("e-1", key="k")
    assert await store.executions.create(first) is first
    assert await store.executions.create(own("e-2", key="k", input=[9])) == first
    assert await store.executions.with_key("k") == first
    assert await store.executions.with_key("l") is None
    # None at all is no key.
    for identity in ("e-3", "e-4"):
        assert (await store.executions.create(own(identity))).id == identity
    assert [each.id for each in await store.executions.list()] == ["e-4", "e-3", "e-1"]


async def test_of_many_that_use_a_key_at_one_time_one_wins(store: Store) -> None:
    found = await asyncio.gather(*(store.executions.create(own(f"e-{number}", key="k")) for number in range(20)))
    assert len({each.id for each in found}) == 1
    assert len(await store.executions.list()) == 1


async def test_another_host_writes_nothing(store: Store) -> None:
    execution = await store.executions.create(own())
    theirs = replace(execution, host="there")
    assert not await store.executions.started("e-1", at=NOW, worker=FACTS, host="there")
    assert not await store.executions.requeued("e-1", host="there")
    assert not await store.executions.finished(ended(theirs))
    attempt = Attempt("e-1", 1, ExecutionState.FAILED, None, NOW)
    assert not await store.executions.again(replace(theirs, attempt=2), attempt)
    assert await store.attempts.list("e-1") == ()
    assert await store.executions.get("e-1") == execution
    assert await store.executions.started("e-1", at=NOW, worker=FACTS, host="here")
    assert not await store.executions.progressed("e-1", progress=0.5, message="", host="there")
    assert await store.executions.progressed("e-1", progress=0.5, message="", host="here")
    assert await store.executions.finished(ended(execution))


async def test_an_attempt_and_the_next_are_written_together(store: Store) -> None:
    use = ResourceUse(0.5, 1000, 3, 1, 200)
    execution = await store.executions.create(own())
    await store.executions.started("e-1", at=NOW, worker=FACTS, host="here")
    error = ExecutionError("LookupError", "no users", "Traceback", "add one")
    first = Attempt("e-1", 1, ExecutionState.FAILED, NOW, NOW, error, FACTS, use)
    again = replace(execution, attempt=2, due_at=NOW + timedelta(seconds=3), use=use)
    assert await store.executions.again(again, first)
    assert not await store.executions.again(again, first)
    assert await store.executions.get("e-1") == again
    # The attempt before cannot end the execution any more.
    assert not await store.executions.finished(ended(execution))
    last = Attempt("e-1", 2, ExecutionState.SUCCEEDED, None, NOW)
    assert await store.executions.finished(ended(again), last)
    assert await store.attempts.list("e-1") == (first, last)


async def test_what_a_host_had_goes_to_one_other(store: Store) -> None:
    for identity in ("e-1", "e-2", "e-3"):
        await store.executions.create(own(identity))
    await store.executions.create(ended(own("e-4")))
    await store.executions.create(replace(own("e-5"), host="there"))
    assert [each.id for each in await store.executions.open_ones("here")] == ["e-1", "e-2", "e-3"]
    won = await asyncio.gather(
        *(store.executions.moved("e-1", before="here", after=name) for name in ("one", "two", "three"))
    )
    assert sum(won) == 1
    assert not await store.executions.moved("e-4", before="here", after="one")
    assert [each.id for each in await store.executions.open_ones("here", "there")] == ["e-2", "e-3", "e-5"]
    assert await store.executions.dropped(ended(own("e-2"), ExecutionState.CANCELLED))
    assert not await store.executions.dropped(ended(own("e-2"), ExecutionState.CANCELLED))


async def test_a_host_that_has_its_lease_again_keeps_what_nobody_took(store: Store) -> None:
    """Whoever found it dead may be in the middle of its executions by then."""
    there = Hosts(store._database, "there")
    await store.executions.create(replace(own(), host="there"))
    await there.register("there", "1", timedelta(minutes=1))
    assert not await store.executions.moved("e-1", before="there", after="here")
    await there.leave()
    assert await store.executions.moved("e-1", before="there", after="here")


async def test_what_other_hosts_have_open(store: Store) -> None:
    await store.executions.create(own("e-1", trigger_id="churn/nightly"))
    await store.executions.create(own("e-2"))
    await store.executions.create(ended(own("e-3", task="count")))

    async def elsewhere(host: str, trigger: str = "", task: str = "execute") -> bool:
        return await store.executions.open_elsewhere(queued().installation, trigger=trigger, task=task, host=host)

    assert await elsewhere("there", "churn/nightly")
    assert await elsewhere("there")
    assert not await elsewhere("here", "churn/nightly")
    assert not await elsewhere("there", "churn/hourly")
    assert not await elsewhere("there", task="count")


async def test_a_list_is_light_and_has_filters(store: Store) -> None:
    error = ExecutionError("E", "No.", "Traceback", "do")
    for number in range(6):
        execution = own(f"e-{number}", input=["large"], result="large", error=error, trigger_id="ab"[number % 2])
        await store.executions.create(ended(execution) if number % 3 else execution)
    listed = await store.executions.list(limit=2)
    assert [(each.id, each.input, each.result) for each in listed] == [("e-5", None, None), ("e-4", None, None)]
    assert listed[0].error == replace(error, traceback="")

    async def ids(**filters: object) -> list[str]:
        return [each.id for each in await store.executions.list(**filters)]  # type: ignore[arg-type]

    assert await ids(state=ExecutionState.QUEUED) == ["e-3", "e-0"]
    assert await ids(trigger="b") == ["e-5", "e-3", "e-1"]
    assert await ids(after="e-3") == ["e-5", "e-4"]
    assert await ids(before="e-2") == ["e-1", "e-0"]
    assert await ids(installation="nobody") == []


async def test_lines_of_an_execution(store: Store) -> None:
    line = LogLine("churn", "churn-1", NOW, 20, "churn", "counted")
    await store.logs.append([replace(line, execution=name) for name in ("e-1", "e-2", "e-1", "")])
    assert await store.logs.range_of("e-1") == LogRange(1, 3, 2)
    assert await store.logs.range_of("e-3") == LogRange()


@pytest.mark.system
async def test_lists_of_a_hundred_thousand_are_fast(store: Store) -> None:
    rows = []
    for number in range(100_000):
        state = ExecutionState.FAILED if number % 20_000 == 7 else ExecutionState.SUCCEEDED
        execution = own(f"e-{number:06}", trigger_id=f"churn/{number % 50}", result="x" * 200)
        rows.append(_new_values(ended(replace(execution, installation=f"p{number % 10}"), state)))
    await store._database.write(lambda connection: connection.execute(insert(schema.executions), rows))
    if store.shared:
        # As PostgreSQL does by itself after a while.
        await store._database.write(lambda connection: connection.execute(text("ANALYZE executions")))
    for filters in (
        {},
        {"installation": "p7"},
        {"state": ExecutionState.FAILED},
        {"state": ExecutionState.FAILED, "installation": "p7"},
        {"state": ExecutionState.SUCCEEDED, "before": "e-050000"},
        {"trigger": "churn/17"},
        {"after": "e-099990"},
        {"installation": "nobody"},
    ):
        took = 1.0
        # The first look reads from the disk, and the machine may have other things to do.
        for _ in range(3):
            began = time.perf_counter()
            found = await store.executions.list(**filters)  # type: ignore[arg-type]
            took = min(took, time.perf_counter() - began)
        print(f"{filters}: {len(found)} of 100,000 in {1000 * took:.1f} ms")
        assert took < 0.1, filters
