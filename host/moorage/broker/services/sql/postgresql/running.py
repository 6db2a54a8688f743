"""Runs what goes to a server: each piece of work in a task of its own that nobody cancels, and that always ends.

A task that is cancelled in the middle of a reply would leave the connection there. So whoever leaves has the server
told to stop, and waits for the reply that comes of it; and what does not come in time is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import psycopg

from moorage.broker.services.sql import refusals
from moorage.broker.services.sql.postgresql import failures
from moorage.broker.services.sql.postgresql.raw import CANCEL_SECONDS, REPEAT_SECONDS, BoundedConnection

T = TypeVar("T")


class Runner:
    """Of one brokered connection: one piece of work at a time."""

    def __init__(self, name: str, most_seconds: float) -> None:
        self._name = name
        self._most_seconds = most_seconds
        self._running: BoundedConnection | None = None
        self._cancelled = False

    async def run(self, connection: BoundedConnection, work: Coroutine[Any, Any, T], deadline: float | None) -> T:
        """Raises what the work raises; CallError where it was interrupted: by the deadline, or by ``cancel``."""
        loop = asyncio.get_running_loop()
        seconds = self._most_seconds if deadline is None else min(self._most_seconds, deadline - loop.time())
        task = loop.create_task(work, name=f"{self._name} statement")
        is_overdue = False
        self._running, self._cancelled = connection, False
        try:
            done, _ = await asyncio.wait((task,), timeout=max(0.0, seconds))
            if not done:
                is_overdue = True
                await _interrupt(connection, task)
        except asyncio.CancelledError:
            await _to_the_end(_interrupt(connection, task))
            # Whatever it came to, nobody is told.
            task.exception()
            raise
        finally:
            self._running = None
        try:
            return task.result()
        except psycopg.Error as error:
            is_interrupted = isinstance(error, psycopg.errors.QueryCanceled)
            if is_overdue and (is_interrupted or failures.is_lost(error)):
                raise failures.deadline_exceeded() from None
            if is_interrupted:
                raise (refusals.statement_cancelled() if self._cancelled else failures.deadline_exceeded()) from None
            raise

    async def cancel(self) -> None:
        """What runs at the moment then raises CANCELLED."""
        if self._running is not None:
            self._cancelled = True
            await self._running.stop()


async def finish_or_sever(connection: BoundedConnection, work: Coroutine[Any, Any, None]) -> None:
    """For work that to cut the connection off would do as well, such as a rollback. Does not raise what it raises."""
    await _to_the_end(_finish_or_sever(connection, work))


async def _finish_or_sever(connection: BoundedConnection, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(work, name="sql rolls back")
    await asyncio.wait((task,), timeout=CANCEL_SECONDS)
    if not task.done():
        connection.sever()
        await asyncio.wait((task,))
    task.exception()


async def _interrupt(connection: BoundedConnection, task: asyncio.Task[Any]) -> None:
    """Until the task has ended. The server ignores a request that comes between two statements: hence another."""
    until = asyncio.get_running_loop().time() + CANCEL_SECONDS
    while not task.done() and asyncio.get_running_loop().time() < until:
        await connection.stop()
        await asyncio.wait((task,), timeout=REPEAT_SECONDS)
    if not task.done():
        connection.sever()
        await asyncio.wait((task,))


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """However often the waiting task is cancelled meanwhile: the connection must not be used before."""
    task = asyncio.get_running_loop().create_task(work, name="sql interrupts a statement")
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((task,))
