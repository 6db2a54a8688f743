from __future__ import annotations

import asyncio
import threading

import pytest

from moorage.broker.services.sql import threads
from moorage.broker.services.sql.threads import THREADS_EACH, Forsaken, Threads


def nothing() -> None: ...


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def pool():
    made = Threads("test")
    yield made
    made.close()


async def test_a_result_and_an_error_come_back(pool: Threads):
    share = pool.share("churn")

    assert await share.run(lambda: 7, nothing, nothing) == 7
    with pytest.raises(ZeroDivisionError):
        await share.run(lambda: 1 // 0, nothing, nothing)


async def test_a_cancelled_call_returns_when_its_thread_has_ended(pool: Threads):
    """Also when it is cancelled again and again while it waits for that."""
    started, stop, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        stop.wait(5)
        ended.set()

    call = asyncio.create_task(pool.share("churn").run(work, nothing, nothing))
    await asyncio.to_thread(started.wait, 5)
    for _ in range(3):
        call.cancel()
        await settled()
        assert not call.done()
    stop.set()

    with pytest.raises(asyncio.CancelledError) as cancelled:
        await call
    assert ended.is_set()
    assert not isinstance(cancelled.value, Forsaken)


async def test_what_does_not_end_is_forsaken_and_told_when_it_has(pool: Threads, monkeypatch):
    monkeypatch.setattr(threads, "GRACE_SECONDS", 0.02)
    started, stop, told = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        stop.wait(5)

    call = asyncio.create_task(pool.share("churn").run(work, nothing, told.set))
    await asyncio.to_thread(started.wait, 5)
    call.cancel()
    with pytest.raises(Forsaken):
        await call
    assert not told.is_set()
    stop.set()

    assert await asyncio.to_thread(told.wait, 5)


async def test_one_installation_has_so_many_threads(pool: Threads):
    stop = threading.Event()
    greedy = [
        asyncio.create_task(pool.share("greedy").run(lambda: stop.wait(5), nothing, nothing))
        for _ in range(THREADS_EACH + 3)
    ]
    await settled()

    assert await pool.share("modest").run(lambda: 7, nothing, nothing) == 7
    greedy.pop().cancel()
    stop.set()
    await asyncio.gather(*greedy)
