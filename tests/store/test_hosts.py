from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from moorage.store.hosts import Hosts
from moorage.store.store import Store

from .test_executions import queued

LEASE = timedelta(minutes=1)
OVER = timedelta(0)


def host(store: Store, identity: str) -> Hosts:
    return Hosts(store._database, identity)


async def test_a_lease_is_renewed_until_it_has_run_out(store: Store) -> None:
    one, two = host(store, "one"), host(store, "two")
    await one.register("machine", "1.0", LEASE)
    await two.register("other", "1.0", LEASE)
    assert await one.renew(LEASE)
    assert await two.expired() == ()

    assert await one.renew(OVER)

    assert await two.expired() == ("one",)
    assert await one.expired() == ()
    assert [(each.id, each.name, each.alive) for each in await two.list()] == [
        ("one", "machine", False),
        ("two", "other", True),
    ]
    assert not await one.renew(LEASE)


async def test_a_dead_host_that_others_forgot_comes_back(store: Store) -> None:
    one, two = host(store, "one"), host(store, "two")
    await one.register("machine", "1.0", OVER)
    await two.register("other", "1.0", LEASE)
    await two.forget(await two.expired())
    assert not await one.renew(LEASE)

    assert await one.regain("machine", "1.0", LEASE)

    assert await one.renew(LEASE)
    await two.forget(["one"])
    assert await one.renew(LEASE)


async def test_a_host_that_leaves_is_taken_over_at_once(store: Store) -> None:
    one, two = host(store, "one"), host(store, "two")
    await one.register("machine", "1.0", LEASE)
    await one.leave()
    assert await two.expired() == ("one",)


async def test_a_second_process_of_a_host_takes_the_lease_and_keeps_it(store: Store) -> None:
    """It was started anew, while the one before still seems to be alive."""
    before, now = host(store, "one"), host(store, "one")
    await before.register("machine", "1.0", LEASE)
    await now.register("machine", "1.0", LEASE)

    assert not await before.renew(LEASE)
    assert not await before.regain("machine", "1.0", LEASE)
    assert await now.renew(LEASE)
    await before.leave()
    assert await now.renew(LEASE)
    await now.leave()
    assert await before.regain("machine", "1.0", LEASE)


async def test_who_has_open_executions_and_is_no_host_is_dead(store: Store) -> None:
    two = host(store, "two")
    await two.register("other", "1.0", LEASE)
    for number, owner in enumerate(["gone", "gone", "two"]):
        await store.executions.create(replace(queued(f"e-{number}"), host=owner))
    assert await two.expired() == ("gone",)
