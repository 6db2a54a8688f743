from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from servicebus_worlds import World, world_of

#: Azure's library takes half a second to open a link, so only the fake is for the quick tests.
KINDS = ["fake", pytest.param("embedded", marks=pytest.mark.system), pytest.param("real", marks=pytest.mark.system)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def world(kind: str) -> AsyncIterator[World]:
    """Every test runs over the fake, the embedded peer, and one in another process."""
    async with world_of(kind) as found:
        yield found


#: Modules of Azure's library that wait by polling.
_POLLING = (
    "_pyamqp.aio._client_async",
    "_pyamqp.aio._connection_async",
    "_pyamqp.aio._session_async",
    "aio._servicebus_sender_async",
    "aio._servicebus_receiver_async",
)


class _QuickAsyncio:
    """As asyncio, with shorter naps."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.005))


@pytest.fixture(autouse=True)
def quick_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """To open and to close a link the library sleeps half a second in all, whoever answers it; tests need not."""
    for name in _POLLING:
        monkeypatch.setattr(importlib.import_module(f"azure.servicebus.{name}"), "asyncio", _QuickAsyncio())
