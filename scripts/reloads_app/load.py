"""Steady work of four kinds for one plugin, and what came of each call."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from moorage.app import Host
from moorage.events.events import ExecutionStarted
from moorage.models.execution import ExecutionRequest, ExecutionState

TASKS = ("execute", "later", "stream", "stream_later")
CALLERS_OF_EACH = 2


class Load:
    """``async with Load(host, "carousel") as load:`` calls all the time."""

    def __init__(self, host: Host, name: str) -> None:
        self._host = host
        self._name = name
        self._over = False
        self.outcomes: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.errors: list[str] = []
        #: Seconds.
        self.slowest_call = 0.0
        self._longest_gap = 0.0
        self._served = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._watch = asyncio.create_task(self._watch_starts(), name="load: starts")
        self._tasks = [
            asyncio.create_task(self._call(task), name=f"load: {task}")
            for task in TASKS
            for _ in range(CALLERS_OF_EACH)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)

    @property
    def calls(self) -> int:
        return sum(self.outcomes.values())

    @property
    def failed(self) -> int:
        return self.calls - self.outcomes[ExecutionState.SUCCEEDED]

    def take_gap(self) -> float:
        """The longest time in which no execution began, in seconds, since this was asked last."""
        gap, self._longest_gap = self._longest_gap, 0.0
        return gap

    async def until_served(self, version: str) -> None:
        async with asyncio.timeout(60), self._served:
            await self._served.wait_for(lambda: self.versions[version] > 0)

    async def _call(self, task: str) -> None:
        while not self._over:
            began = time.perf_counter()
            execution = await self._host.run(ExecutionRequest(self._name, task, trigger="load"))
            self.slowest_call = max(self.slowest_call, time.perf_counter() - began)
            self.outcomes[execution.state.value] += 1
            if execution.state is ExecutionState.SUCCEEDED:
                await self._note(execution.result)
            elif execution.error is not None:
                self.errors.append(f"{task} {execution.state}: {execution.error.message}")

    async def _note(self, version: str) -> None:
        async with self._served:
            self.versions[version] += 1
            self._served.notify_all()

    async def _watch_starts(self) -> None:
        """The longest time in which no execution began."""
        last = None
        async with self._host.events.subscribe(ExecutionStarted) as started:
            async for _ in started:
                now = time.perf_counter()
                if last is not None:
                    self._longest_gap = max(self._longest_gap, now - last)
                last = now
