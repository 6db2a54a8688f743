from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.broker.services.sql.writer_lock import WriterLock

LONG = 10.0


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_writers_come_in_the_order_of_asking():
    lock, turns = WriterLock(), []

    async def write(name: str) -> None:
        await lock.acquire(name, LONG)
        turns.append(name)
        await settled()
        lock.release(name)

    await asyncio.gather(*(write(name) for name in "abcdefgh"))

    assert turns == list("abcdefgh")
    assert lock.owner is None


async def test_the_owner_asks_again():
    lock, owner = WriterLock(), object()
    await lock.acquire(owner, LONG)
    await lock.acquire(owner, LONG)

    lock.release(owner)

    assert lock.owner is None


async def test_only_the_owner_releases():
    lock, owner = WriterLock(), object()
    await lock.acquire(owner, LONG)

    lock.release(object())

    assert lock.owner is owner


async def test_who_gives_up_leaves_the_queue():
    lock = WriterLock()
    await lock.acquire("first", LONG)
    with pytest.raises(TimeoutError):
        await lock.acquire("impatient", 0.01)
    cancelled = asyncio.create_task(lock.acquire("cancelled", LONG))
    patient = asyncio.create_task(lock.acquire("patient", LONG))
    await settled()
    cancelled.cancel()
    await settled()

    lock.release("first")
    await patient

    assert lock.owner == "patient"


async def test_who_gives_up_as_the_turn_comes_passes_it_on():
    lock = WriterLock()
    await lock.acquire("first", LONG)
    cancelled = asyncio.create_task(lock.acquire("cancelled", LONG))
    patient = asyncio.create_task(lock.acquire("patient", LONG))
    await settled()

    lock.release("first")
    cancelled.cancel()
    await patient

    assert lock.owner == "patient"
    with pytest.raises(asyncio.CancelledError):
        await cancelled


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["acquire", "release", "cancel"])), max_size=40))
def test_there_is_one_owner_and_nobody_is_forgotten(steps):
    async def scenario() -> None:
        lock, waiting, holding = WriterLock(), {}, set()
        for name, step in steps:
            if step == "acquire" and name not in waiting and name not in holding:
                waiting[name] = asyncio.create_task(lock.acquire(name, LONG))
            elif step == "cancel" and name in waiting:
                waiting.pop(name).cancel()
            elif step == "release":
                lock.release(name)
                holding.discard(name)
            await settled()
            for done in [one for one, task in waiting.items() if task.done()]:
                waiting.pop(done)
                holding.add(done)
            assert holding == ({lock.owner} if lock.owner else set())
            assert not waiting or lock.owner is not None
        for task in waiting.values():
            task.cancel()
        await settled()

    asyncio.run(scenario())
