"""Work that threads hand to an event loop, while it runs and as it ends."""

from __future__ import annotations

import asyncio
import threading

import pytest

from moorage_sdk.worker.handover import Handover

TIMEOUT_SECONDS = 10


def test_work_is_done_in_the_order_of_posting():
    loop = asyncio.new_event_loop()
    handover = Handover(loop)
    done = []
    for number in range(5):
        handover.post(done.append, number)
    handover.post(loop.stop)
    loop.run_forever()
    loop.close()
    assert done == [0, 1, 2, 3, 4]


def test_what_was_posted_before_the_end_is_done_and_what_comes_later_is_refused():
    loop = asyncio.new_event_loop()
    handover = Handover(loop)
    done = []
    handover.post(done.append, "early")
    handover.end()
    with pytest.raises(RuntimeError, match="has ended"):
        handover.post(done.append, "late")
    loop.close()
    assert done == ["early"]


def test_whatever_is_posted_while_the_loop_ends_is_either_done_or_refused():
    for _ in range(10):
        loop = asyncio.new_event_loop()
        handover = Handover(loop)
        done, refused, begun = [], [], threading.Event()

        def post(handover=handover, done=done, refused=refused, begun=begun):
            for number in range(10_000):
                try:
                    handover.post(done.append, number)
                except RuntimeError:
                    refused.append(number)
                    return
                begun.set()

        poster = threading.Thread(target=post)
        poster.start()
        assert begun.wait(TIMEOUT_SECONDS)
        handover.end()
        loop.close()
        poster.join(TIMEOUT_SECONDS)
        assert not poster.is_alive()
        assert done == list(range(len(done)))
        assert refused in ([], [len(done)])
