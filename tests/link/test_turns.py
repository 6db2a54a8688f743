"""Links of one host share its loop: whatever one worker sends, the others have their turn."""

from __future__ import annotations

import asyncio
import time

import pytest
from link_ends import soon

from moorage_proto.link import IncomingCall, LinkLimits, frames, lane

FLOOD = 5_000


def flood() -> bytes:
    return b"".join(frames.call(call_id, "/x/Y", b"", "", 0, "") for call_id in range(1, 2 * FLOOD, 2))


async def position(make_peer, limits: LinkLimits) -> int:
    """How many of the flood's calls had come to the host's handlers when the neighbour's one call did."""
    flooding, neighbour = make_peer(limits), make_peer(limits)
    order: list[str] = []
    flooding.calls.answer = lambda call: (order.append("flood"), call.reply(b""))
    neighbour.calls.answer = lambda call: (order.append("neighbour"), call.reply(b""))
    await flooding.send_bytes(flood())
    await neighbour.send_bytes(frames.call(1, "/x/Y", b"", "", 0, ""))
    await soon(neighbour.frame())
    while len(order) <= FLOOD:
        await asyncio.sleep(0)
    return order.index("neighbour")


async def test_a_batch_of_thousands_of_calls_does_not_hold_up_another_link(make_peer) -> None:
    sizes = {"max_frame_bytes": 1 << 20, "max_open_calls": 2 * FLOOD}
    assert await position(make_peer, LinkLimits(**sizes)) <= 2 * LinkLimits.turn_frames
    # The control: without turns the whole batch comes first.
    assert await position(make_peer, LinkLimits(**sizes, turn_frames=10 * FLOOD)) == FLOOD


async def served_beside_heavy_calls(make_peer, heavy_calls: int) -> int:
    """Calls of a neighbour that are answered while a peer sends calls that take the loop 25 ms each to read."""
    heavy, neighbour = make_peer(LinkLimits()), make_peer(LinkLimits())
    served, left = 0, heavy_calls

    def read(call: IncomingCall) -> None:
        nonlocal left
        left -= 1
        time.sleep(0.025)
        call.reply(b"")

    heavy.calls.answer = read
    neighbour.calls.answer = lambda call: call.reply(b"")
    for call_id in range(1, 2 * heavy_calls, 2):
        await heavy.send_bytes(frames.call(call_id, "/x/Y", b"", "", 0, ""))
    while left:
        await neighbour.send_bytes(frames.call(2 * served + 1, "/x/Y", b"", "", 0, ""))
        await soon(neighbour.frame())
        served += 1
    return served


@pytest.mark.system  # it waits until time has really passed
async def test_a_link_whose_messages_are_costly_to_read_gives_way(make_peer, monkeypatch) -> None:
    with_pauses = await served_beside_heavy_calls(make_peer, 4)
    monkeypatch.setattr(lane, "LONG_TURN_SECONDS", 1000.0)
    assert with_pauses > 10 * await served_beside_heavy_calls(make_peer, 4)
