from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest_asyncio
from link_ends import Pair, RawPeer

from moorage_proto.link import LinkLimits


@pytest_asyncio.fixture
async def make_pair() -> AsyncIterator[Callable[..., Pair]]:
    made: list[Pair] = []

    def make(limits: LinkLimits | None = None, **options: int) -> Pair:
        made.append(Pair(limits or LinkLimits(), **options))
        return made[-1]

    yield make
    for pair in made:
        await pair.close()


@pytest_asyncio.fixture
async def make_peer() -> AsyncIterator[Callable[..., RawPeer]]:
    made: list[RawPeer] = []

    def make(limits: LinkLimits | None = None, **options: int) -> RawPeer:
        made.append(RawPeer(limits or LinkLimits(), **options))
        return made[-1]

    yield make
    for peer in made:
        await peer.close()
