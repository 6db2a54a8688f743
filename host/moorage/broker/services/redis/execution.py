"""Runs the commands of one call on a connection that fits them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from moorage.broker.services.base import Caller
from moorage.broker.services.redis import refusals
from moorage.broker.services.redis.held import HeldLine
from moorage.broker.services.redis.line import Line, LineSilent
from moorage.broker.services.redis.server import Server
from moorage.broker.services.redis.wire import answer_of
from moorage_proto.redis_access import Examined, Session
from moorage_proto.redis_decisions import refused
from moorage_proto.redis_waiting import waiting_limited

#: The server's own end of waiting has to come before the caller's: this part of the time, at most so many seconds.
MARGIN, MAX_MARGIN_SECONDS = 0.1, 0.25


async def run_commands(
    caller: Caller, server: Server, commands: Sequence[Examined], held: HeldLine | None
) -> tuple[list[Any], HeldLine | None]:
    """The replies, and the connection that they leave held. Raises CallError."""
    asked = [command for command in commands if not command.is_answered]
    session = _ahead(asked, held.session if held is not None else Session(), answers=len(asked) < len(commands))
    if not asked:
        return _woven(commands, [], caller.label), held
    if held is not None:
        replies, left = await _run_held(caller, held, asked, session)
    elif session.is_neutral and not any(command.blocks for command in asked):
        async with (await server.lines(caller.installation)).borrowed() as line:
            replies, left = await _run(caller, server, line, asked, caller.label), None
    else:
        lines = await server.lines(caller.installation)
        new = HeldLine(caller.scope, server, lines, await lines.hold())
        replies, left = await _run_held(caller, new, asked, session)
    return _woven(commands, replies, caller.label), left


async def _run_held(
    caller: Caller, held: HeldLine, asked: Sequence[Examined], session: Session
) -> tuple[list[Any], HeldLine | None]:
    assert caller.guard is not None, "the contract gives these methods a late rule"
    try:
        async with held.turn:
            for command in asked:
                held.needs(caller.guard, command.needs)
            # A name that came while a transaction is open would be queued with it.
            label = caller.label if held.session.is_neutral else held.line.label
            replies = await _run(caller, held.server, held.line, asked, label)
            held.session = session
    except BaseException:
        await held.close()
        raise
    if not session.is_neutral:
        return replies, held
    await held.close(reusable=True)
    return replies, None


async def run_on(
    line: Line, server: Server, commands: Sequence[Sequence[bytes]], label: str, deadline: float | None = None
) -> list[Any]:
    """For commands that do not wait. Raises CallError, before the deadline, and closes the line then."""
    left = _patience(deadline)
    is_callers = left is not None and left < server.timeout_seconds
    seconds = left if left is not None and is_callers else server.timeout_seconds
    try:
        return await line.run(commands, label, seconds)
    except LineSilent as error:
        raise (refusals.overdue(server.name) if is_callers else refusals.silent(server.name, seconds)) from error


async def _run(caller: Caller, server: Server, line: Line, asked: Sequence[Examined], label: str) -> list[Any]:
    try:
        return await _sent(caller, server, line, asked, label)
    except BaseException:
        if any(command.runs_script for command in asked):
            # Nobody waits for it any more, and while it runs the server serves nobody else.
            server.end_scripts()
        raise


async def _sent(caller: Caller, server: Server, line: Line, asked: Sequence[Examined], label: str) -> list[Any]:
    if not any(command.blocks for command in asked):
        return await run_on(line, server, [command.arguments for command in asked], label, caller.deadline)
    left = _patience(caller.deadline)
    limited = [waiting_limited(command, left) if left and command.blocks else None for command in asked]
    sent = [shorter or command.arguments for command, shorter in zip(asked, limited, strict=True)]
    replies = await line.run(sent, label, None)
    if any(shorter is not None and reply is None for shorter, reply in zip(limited, replies, strict=True)):
        raise refusals.overdue(server.name)
    return replies


def _patience(deadline: float | None) -> float | None:
    """Seconds. The server's own end of waiting comes before the caller's, so that nothing it takes out is lost."""
    if deadline is None:
        return None
    left = deadline - asyncio.get_running_loop().time()
    return max(0.001, left - min(MAX_MARGIN_SECONDS, left * MARGIN))


def _ahead(asked: Sequence[Examined], session: Session, *, answers: bool) -> Session:
    for command in asked:
        session = session.after(command.name)
        if answers and session.in_multi:
            raise refused("In a transaction, commands about the connection itself are not offered.")
    return session


def _woven(commands: Sequence[Examined], replies: Sequence[Any], label: str) -> list[Any]:
    """The server's replies, and between them what the host answers itself."""
    rest = iter(replies)
    return [answer_of(command, label) if command.is_answered else next(rest) for command in commands]
