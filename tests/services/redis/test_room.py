"""The embedded server holds so much, and no more."""

from __future__ import annotations

import pytest
import redis
from redis_worlds import EVERYTHING, Hosted, client
from service_worlds import closing

from moorage.broker.services.redis import room
from moorage.broker.services.redis.room import Room, weight
from moorage.config.services.redis import RedisBackend

MIB = 1024 * 1024


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    monkeypatch.setattr(room.Room.__init__, "__defaults__", (4 * MIB,))
    monkeypatch.setattr(room, "WEIGH_SECONDS", 0.0)
    with closing(Hosted(main=RedisBackend())) as world:
        yield client(world.worker(*EVERYTHING))


def test_it_fills_and_is_emptied(small: redis.Redis) -> None:
    for number in range(3):
        assert small.set(f"a{number}", bytes(MIB)) is True
    with pytest.raises(redis.exceptions.OutOfMemoryError, match="is full"):
        small.set("more", bytes(2 * MIB))
    assert small.get("a0") == bytes(MIB)
    assert small.delete("a0", "a1") == 2
    assert small.set("more", bytes(2 * MIB)) is True


def test_what_is_written_over_counts_once(small: redis.Redis) -> None:
    for _ in range(20):
        assert small.set("a", bytes(MIB)) is True


@pytest.mark.parametrize(
    "line",
    [
        "SETRANGE b 400000000 x",
        "SETBIT b 4000000000 1",
        "BITFIELD b SET u8 #40000000 1",
        "BITFIELD b INCRBY u8 4000000000 1",
        "COPY a b",
        "BITOP NOT b a",
        "SUNIONSTORE t s",
        "SORT l STORE m",
    ],
)
def test_little_that_becomes_much(small: redis.Redis, line: str) -> None:
    small.set("a", bytes(2 * MIB + MIB // 2))
    small.sadd("s", bytes(MIB))
    small.rpush("l", 1)
    if "l STORE" in line or "SUNION" in line:
        small.delete("a")
        small.rpush("l", *([1] * 15_000))
        small.sadd("s", bytes(2 * MIB))
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        small.execute_command(*line.split(" "))
    assert small.exists("b", "t", "m") == 0
    assert small.ping() is True


def test_a_transaction_finds_it_full_too(small: redis.Redis) -> None:
    small.set("a", bytes(3 * MIB))
    pipeline = small.pipeline()
    pipeline.set("b", bytes(2 * MIB)).get("a")
    with pytest.raises(redis.RedisError):
        pipeline.execute()
    assert small.exists("b") == 0


def test_weight() -> None:
    class Kept:
        def __init__(self) -> None:
            self.values = [b"x" * 1000, {b"y" * 1000: 1.5}]

    assert 2000 < weight({b"k": Kept()}) < 4000
    assert Room(list, 10).admits([b"GET", b"a" * 100])
    assert not Room(list, 10).admits([b"SET", b"a" * 100])
