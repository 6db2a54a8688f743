"""Starts that are given up, with a store that answers at once and no workers at all."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from moorage.models.installation import InstallationId
from moorage.supervisor.errors import NotRunnable
from moorage.supervisor.supervisor import Parts, Supervisor

NAME = InstallationId("churn")


class Reached(Exception):
    """The start has come as far as the store."""


class Store:
    @property
    def installations(self) -> Store:
        return self

    async def get(self, _name: str) -> None:
        raise Reached


@pytest.fixture
def supervisor() -> Supervisor:
    parts = cast("Any", Parts)(
        store=Store(),
        shard=None,
        launcher=None,
        environments=None,
        logs=None,
        audit=None,
        sockets=None,
        data=None,
        snapshots=None,
        announce=None,
    )
    return Supervisor(parts)


async def test_a_start_reaches_the_store(supervisor: Supervisor) -> None:
    with pytest.raises(Reached):
        await supervisor.start(NAME)


@pytest.mark.parametrize("turns", range(4))
async def test_a_start_that_was_given_up_leaves_room_for_the_next(supervisor: Supervisor, turns: int) -> None:
    given_up = asyncio.create_task(supervisor.start(NAME))
    for _ in range(turns):
        await asyncio.sleep(0)

    await supervisor.kill(NAME, "a test asked for it")

    with pytest.raises((NotRunnable, Reached)):
        await given_up
    with pytest.raises(Reached):
        await supervisor.start(NAME)
