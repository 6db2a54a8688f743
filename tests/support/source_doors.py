"""A door for sources that keeps its book in memory: what was taken, how often, and what it came to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from moorage.models.execution import Execution, ExecutionError, ExecutionState
from moorage.orchestrator.triggers.base import Fate, NotNow, Signal, Taken

FAILED = ExecutionError("LookupError", "no such order")


class BookDoor:
    """Each key is run once. ``gate``: executions begin, and do not end before it is open."""

    def __init__(self, *, slots: int = 4, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.slots = slots
        self.runs: list[Signal] = []
        self.told: list[str] = []
        self.most_at_once = 0
        self.refusals = 0
        #: While it is true, nothing is taken.
        self.closed = False
        self.fate: Callable[[Signal], Fate] = lambda _: Fate.DONE
        self.gate = asyncio.Event()
        self.gate.set()
        self.changed = asyncio.Condition()
        self._now = now
        self._inside = 0
        self._book: dict[str, asyncio.Task[Taken]] = {}

    async def take(self, signal: Signal) -> Taken:
        self._inside += 1
        self.most_at_once = max(self.most_at_once, self._inside)
        try:
            return await self._take(signal)
        finally:
            self._inside -= 1

    async def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(condition)

    @property
    def inputs(self) -> list[Any]:
        return [signal.input for signal in self.runs]

    async def close(self) -> None:
        for running in self._book.values():
            running.cancel()
        await asyncio.gather(*self._book.values(), return_exceptions=True)

    async def _take(self, signal: Signal) -> Taken:
        if self.closed:
            self.refusals += 1
            await self._tell()
            raise NotNow("It may not run now.")
        if not signal.key or signal.key not in self._book:
            self._book[signal.key] = asyncio.create_task(self._run(signal), name=f"run {signal.key}")
        found = await asyncio.shield(self._book[signal.key])
        self.told.append(signal.key)
        await self._tell()
        return found

    async def _run(self, signal: Signal) -> Taken:
        self.runs.append(signal)
        await self._tell()
        execution = Execution(
            f"e-{len(self.runs)}",
            "churn",
            "churn",
            "1.2.0",
            "execute",
            "source",
            ExecutionState.RUNNING,
            self._now(),
            input=signal.input,
        )
        await self.gate.wait()
        fate = self.fate(signal)
        if fate is Fate.DONE:
            return Taken(replace(execution, state=ExecutionState.SUCCEEDED), fate)
        return Taken(replace(execution, state=ExecutionState.FAILED, error=FAILED), fate)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()
