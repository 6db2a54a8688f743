from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from memory_link import Connected, RecordingAudit, connected, grants
from probe_service import ProbeService

from moorage.broker.broker import Broker
from moorage_proto.capability import Grants

#: Covers every method of the probe contract.
EVERYTHING = ("config.read:**", "kafka.produce:**", "sql.read:**", "sql.write:**", "log.name:**")


@pytest.fixture
def audit() -> RecordingAudit:
    return RecordingAudit()


@pytest.fixture
async def probe() -> ProbeService:
    return ProbeService()


@pytest.fixture
async def broker(probe: ProbeService, audit: RecordingAudit) -> AsyncIterator[Broker]:
    made = Broker([probe], audit)
    await made.open()
    yield made
    await made.close()


Connect = Callable[..., AbstractAsyncContextManager[Connected]]


@pytest.fixture
def connect(broker: Broker) -> Connect:
    """A worker that may do everything, or what the test says."""

    def make(allowed: Grants | None = None, **options: Any) -> AbstractAsyncContextManager[Connected]:
        return connected(broker, grants(*EVERYTHING) if allowed is None else allowed, **options)

    return make
