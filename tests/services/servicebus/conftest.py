from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from servicebus_worlds import World, quicken, world_of

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


@pytest.fixture(autouse=True)
def quick_library(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)
