from __future__ import annotations

import asyncio
import subprocess
import sys
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


async def test_a_forsaken_thread_keeps_its_turn(pool: Threads, monkeypatch):
    """It uses up its own installation's turns, and nobody else's."""
    monkeypatch.setattr(threads, "GRACE_SECONDS", 0.01)
    started, stop = threading.Barrier(THREADS_EACH + 1), threading.Event()

    def work() -> None:
        started.wait(5)
        stop.wait(5)

    greedy = [asyncio.create_task(pool.share("greedy").run(work, nothing, nothing)) for _ in range(THREADS_EACH)]
    await asyncio.to_thread(started.wait, 5)
    for call in greedy:
        call.cancel()
    await asyncio.wait(greedy)

    next_one = asyncio.create_task(pool.share("greedy").run(lambda: 8, nothing, nothing))
    for _ in range(20):
        assert await pool.share("modest").run(lambda: 7, nothing, nothing) == 7
    assert not next_one.done()

    stop.set()
    assert await asyncio.wait_for(next_one, 5) == 8


@pytest.mark.system
def test_a_process_ends_although_a_thread_does_not():
    script = (
        "import asyncio, threading\n"
        "from moorage.broker.services.sql.threads import Threads\n"
        "async def main():\n"
        "    pool, started = Threads('test'), threading.Event()\n"
        "    work = lambda: (started.set(), threading.Event().wait())\n"
        "    call = asyncio.create_task(pool.share('greedy').run(work, lambda: None, lambda: None))\n"
        "    await asyncio.to_thread(started.wait, 5)\n"
        "    call.cancel()\n"
        "    await asyncio.wait([call])\n"
        "    pool.close()\n"
        "asyncio.run(main())\n"
    )

    subprocess.run([sys.executable, "-c", script], timeout=20, check=True)


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
