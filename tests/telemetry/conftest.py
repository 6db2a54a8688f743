from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **span: float) -> None:
        self.time += timedelta(**span)


class Sink:
    """A store that keeps in memory, and can be made to fail or to hang."""

    def __init__(self) -> None:
        self.stored: list[Any] = []
        self.trimmed: list[tuple[str, int]] = []
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, items: Sequence[Any]) -> Sequence[Any]:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        numbered = [replace(item, id=len(self.stored) + index) for index, item in enumerate(items, 1)]
        self.stored += numbered
        return numbered

    async def trim(self, installation: str, *, keep: int) -> int:
        self.trimmed.append((installation, keep))
        return 0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sink() -> Sink:
    return Sink()
