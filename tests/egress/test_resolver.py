"""Resolve once, check every address, pin what was checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

import pytest

from moorage.broker.egress.reach import Reach
from moorage.broker.egress.resolver import Address, BoundedLookUp, HostRefused, HostUnknown, resolve, system_look_up
from moorage_proto.errors import Reason, Status


def answers(*addresses: str) -> Callable[[str], Awaitable[Sequence[str]]]:
    async def look_up(host: str) -> Sequence[str]:
        return addresses

    return look_up


async def test_public_addresses_come_back_pinned_in_their_order() -> None:
    look_up = answers("93.184.216.34", "2606:4700::1111", "93.184.216.34")
    assert await resolve("example.com", 443, allow_private=False, look_up=look_up) == [
        Address("93.184.216.34", 443, Reach.PUBLIC),
        Address("2606:4700::1111", 443, Reach.PUBLIC),
    ]


@pytest.mark.parametrize("bad", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fe80::1%eth0", "100.64.0.1"])
async def test_one_private_address_refuses_the_name_unless_it_is_granted(bad: str) -> None:
    look_up = answers("93.184.216.34", bad)
    with pytest.raises(HostRefused) as refused:
        await resolve("evil.example", 80, allow_private=False, look_up=look_up)
    assert (refused.value.status, refused.value.reason) == (Status.PERMISSION_DENIED, Reason.CAPABILITY_MISSING)
    assert bad not in refused.value.message
    assert "net.private:evil.example" in refused.value.message
    assert len(await resolve("evil.example", 80, allow_private=True, look_up=look_up)) == 2


@pytest.mark.parametrize("bad", ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "192.0.2.1", "ff02::1", "nonsense"])
async def test_what_is_no_place_for_anybody_is_refused_whatever_was_granted(bad: str) -> None:
    for allow_private in (False, True):
        with pytest.raises(HostRefused) as refused:
            await resolve("evil.example", 80, allow_private=allow_private, look_up=answers(bad))
        assert "net.private" not in refused.value.message


async def test_an_address_is_checked_without_being_looked_up() -> None:
    async def look_up(host: str) -> Sequence[str]:
        raise AssertionError("an address was looked up")

    assert (await resolve("8.8.8.8", 53, allow_private=False, look_up=look_up))[0].ip == "8.8.8.8"
    with pytest.raises(HostRefused, match="it is the host's own machine"):
        await resolve("127.0.0.1", 80, allow_private=False, look_up=look_up)
    assert (await resolve("127.0.0.1", 80, allow_private=True, look_up=look_up))[0].reach is Reach.LOOPBACK


async def test_a_name_is_looked_up_once() -> None:
    asked: list[str] = []

    async def look_up(host: str) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    (address,) = await resolve("rebind.example", 80, allow_private=False, look_up=look_up)
    assert (address.ip, asked) == ("93.184.216.34", ["rebind.example"])


@pytest.mark.parametrize("error", [socket.gaierror(-2, "not known"), UnicodeError("label too long")])
async def test_a_name_without_address_is_said_in_a_sentence(error: Exception) -> None:
    async def look_up(host: str) -> Sequence[str]:
        raise error

    with pytest.raises(HostUnknown, match="has no address"):
        await resolve("nowhere.example", 80, allow_private=False, look_up=look_up)
    with pytest.raises(HostUnknown):
        await resolve("nowhere.example", 80, allow_private=False, look_up=answers())


async def test_a_name_with_very_many_addresses_is_refused() -> None:
    with pytest.raises(HostRefused):
        await resolve("many.example", 80, allow_private=True, look_up=answers(*(f"8.8.8.{n}" for n in range(65))))


async def test_the_machines_own_resolver_knows_this_machine() -> None:
    assert set(await system_look_up("localhost")) <= {"127.0.0.1", "::1"}


async def test_a_look_up_counts_until_it_has_ended_whoever_left() -> None:
    """A thread cannot be called back; more of them are not to be had by giving up and asking again."""
    asked: list[str] = []
    answered = asyncio.Event()

    async def look_up(host: str) -> Sequence[str]:
        asked.append(host)
        await answered.wait()
        return ["93.184.216.34"]

    bounded = BoundedLookUp(look_up, 2)
    for number in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await bounded(f"{number}.example")
    assert asked == ["0.example", "1.example"]
    answered.set()
    async with asyncio.timeout(10):
        assert await bounded("last.example") == ["93.184.216.34"]
