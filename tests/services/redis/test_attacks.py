"""What a plugin tries that has rights to its own keys alone: nothing of it comes through, in any world, by any way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis_worlds import Hosted, client
from servers.redis import RedisServer
from service_worlds import World

from moorage.broker.services.redis import service as redis_service
from moorage_proto.capability import Grants
from moorage_proto.redis_access import Examined, examine_subscription
from moorage_sdk.testing.redis import FakeRedis

OWN = (
    *("redis.read:own:**", "redis.write:own:**", "redis.publish:own:**", "redis.subscribe:own:**"),
    "redis.script:**",
)

SECRET = b"the other's"
OTHERS = {"other": SECRET, "own": SECRET, "ownx:a": SECRET, "{own:a}other": SECRET}

#: Each is refused, and would do harm, or tell something, if it were not.
ATTACKS = [
    # Row 107 of the suite of hostile actions
    *("EVAL return(redis.call('GET','other')) 1 other", "EVAL_RO return(redis.call('GET','other')) 1 other"),
    *("SCRIPT FLUSH", "SCRIPT KILL", "SCRIPT DEBUG YES", "CONFIG GET *", "CONFIG SET dir /tmp", "CONFIG REWRITE"),
    *("FLUSHALL", "FLUSHDB ASYNC", "flushall", "KEYS *", "MIGRATE 127.0.0.1 1 other 0 10", "MODULE LOAD /tmp/x.so"),
    *("FUNCTION LOAD x", "FUNCTION FLUSH", "FUNCTION DUMP", "MODULE LOADEX /tmp/x.so"),
    # Row 108
    *("GET other", "MGET own:a other", "RENAME own:a other", "RENAME other own:a", "RENAMENX other own:a"),
    *("SORT own:l STORE other", "SORT own:l BY other_* GET other", "SORT own:l BY nosort GET oth*r"),
    *("SORT own:l BY own:* GET * STORE own:x", "SORT_RO own:l GET other*"),
    *("GET own", "GET ownx:a", "GET {own:a}other", "get OTHER"),
    # Further
    *(
        "COPY other own:x",
        "COPY own:a other REPLACE",
        "COPY own:a own:x DB 1",
        "MOVE own:a 1",
        "SWAPDB 0 1",
        "SELECT 1",
    ),
    *("OBJECT ENCODING other", "OBJECT FREQ other", "MEMORY USAGE other", "DUMP other", "RESTORE own:x 0 xxxx"),
    *("EXISTS other", "TYPE other", "TTL other", "STRLEN other", "TOUCH other", "EXPIRE other 1", "PERSIST other"),
    *("DEL other", "UNLINK own:a other", "GETDEL other", "GETSET other x", "SET other x GET", "APPEND other x"),
    *("BITOP NOT own:x other", "BITOP OR other own:a", "BITFIELD other GET u8 0", "BITCOUNT other", "LCS own:a other"),
    *("SUNIONSTORE own:x own:s other", "SINTERCARD 2 own:s other", "SMOVE own:s other a", "SDIFF own:s other"),
    *("ZUNIONSTORE own:x 2 own:z other", "ZUNION 2 own:z other", "ZRANGESTORE own:x other 0 -1", "ZMPOP 1 other MIN"),
    *("LMOVE other own:x LEFT LEFT", "LMPOP 2 own:none other LEFT", "BLMPOP 1 1 other LEFT", "BLPOP own:none other 1"),
    *("RPOPLPUSH other own:x", "BRPOPLPUSH own:none other 1", "BLMOVE other own:x LEFT LEFT 1"),
    *("GEORADIUS own:g 0 0 1 km STORE own:x STORE other", "GEORADIUSBYMEMBER own:g m 1 km STOREDIST other"),
    *("GEOSEARCHSTORE own:x other FROMLONLAT 0 0 BYRADIUS 1 km", "PFMERGE own:x other", "PFCOUNT own:p other"),
    *("XREAD STREAMS own:x other 0 0", "XREADGROUP COUNT 1 GROUP STREAMS c STREAMS other >", "XINFO STREAM other"),
    *("XGROUP CREATE other g $ MKSTREAM", "XADD other * a b", "XCLAIM other g c 0 0-1", "XTRIM other MAXLEN 0"),
    *("WATCH other", "EVALSHA {sha} 1 other", "FCALL f 1 other", "HSET other a b", "SETRANGE other 0 x"),
    *("SCAN 0", "SCAN 0 MATCH *", "SCAN 0 MATCH own:* MATCH *", "SCAN 0 MATCH o?her", "SCAN 0 COUNT 1000", "DBSIZE"),
    *(
        "RANDOMKEY",
        "INFO",
        "MONITOR",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "CLIENT PAUSE 1000",
        "CLIENT REPLY OFF",
    ),
    *(
        "CLIENT TRACKING ON BCAST",
        "ACL WHOAMI",
        "ACL LIST",
        "ACL SETUSER me on nopass +@all ~*",
    ),
    *("DEBUG SLEEP 1", "SHUTDOWN NOSAVE", "REPLICAOF 127.0.0.1 1", "SLAVEOF 127.0.0.1 1", "PSYNC ? -1", "SYNC", "SAVE"),
    *("BGSAVE", "BGREWRITEAOF", "LATENCY DOCTOR", "SLOWLOG GET", "CLUSTER RESET", "FAILOVER", "ROLE", "LASTSAVE"),
    *("PUBLISH other x", "SPUBLISH other x", "PUBSUB CHANNELS", "PUBSUB CHANNELS o*", "PUBSUB NUMSUB other"),
    *("SUBSCRIBE other", "PSUBSCRIBE *", "PSUBSCRIBE o*", "SSUBSCRIBE other", "PSUBSCRIBE own:* other*"),
    *("COMMAND GETKEYS GET other", "GET\r\nother", "GET other\r\n", "GET|x other", "OBJECT|ENCODING other"),
]

#: On a real server these are beyond the user of the server, too, when the broker checks nothing; the others are refused
#: by the broker alone: what only tells of the server or of connections, or is an error by itself.
FENCED = [
    *("EVAL return(redis.call('GET','other')) 0", "EVAL return(redis.call('SET','other','x')) 0"),
    *("EVAL return(redis.call('FLUSHALL')) 0", "EVAL return(redis.call('GET',KEYS[1])) 1 other"),
    *("GET other", "SET other x", "MGET own:a other", "RENAME own:a other", "DEL other", "COPY own:a other"),
    *(
        "SORT own:l STORE other",
        "SORT own:l BY w_* GET other_*",
        "SUNIONSTORE own:x own:s other",
        "FLUSHALL",
        "FLUSHDB",
    ),
    *("CONFIG GET *", "KEYS *", "SCRIPT FLUSH", "FUNCTION FLUSH", "MODULE LIST", "MIGRATE 127.0.0.1 1 other 0 10"),
    *("ACL LIST", "ACL WHOAMI", "CLIENT LIST", "CLIENT KILL TYPE normal", "SHUTDOWN NOSAVE", "INFO"),
    *("SELECT 1", "SWAPDB 0 1", "MOVE own:a 1", "RANDOMKEY", "DBSIZE", "MONITOR", "REPLICAOF 127.0.0.1 1", "SAVE"),
    *("PUBLISH other x", "XADD other * a b", "OBJECT ENCODING other", "MEMORY USAGE other", "RESTORE own:y 0 x"),
    *("BLPOP other 1", "WATCH other", "LMPOP 1 other LEFT", "BITOP NOT own:x other", "EXISTS other"),
]


def seeded(c: redis.Redis) -> None:
    c.mset({**OTHERS, "own:a": "a"})
    c.rpush("own:l", "er")
    c.rpush("listed", SECRET)
    c.sadd("own:s", "a")
    c.zadd("own:z", {"a": 1})
    c.geoadd("own:g", (0, 0, "m"))
    c.xadd("streamed", {"k": SECRET})


def others(c: redis.Redis) -> dict[str, Any]:
    """All that is not the plugin's own, on every database."""
    return {key: c.dump(key) for key in sorted(c.scan_iter("*")) if not key.startswith(b"own:")}


@pytest.fixture
def owner(world: World, kind: str, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A client with all rights, that the world's own checks do not bind."""
    if kind == "fake":
        (fake,) = world._fakes
        assert isinstance(fake, FakeRedis)
        yield fake.client
    elif kind == "embedded":
        import fakeredis

        server = world.service._servers["main"]._connections.server
        yield fakeredis.FakeRedis(server=server, version=(7, 0), protocol=2)
    else:
        with request.getfixturevalue("server").client() as c:
            yield c


def attacked(r: redis.Redis, line: str) -> None:
    """As redis-py would send it, and so that its own view of commands does not matter."""
    words = line.replace("{sha}", "0" * 40).split(" ")
    if words[0].upper().endswith("SUBSCRIBE"):
        pubsub = r.pubsub()
        try:
            pubsub.execute_command(*words)
        finally:
            pubsub.close()
    else:
        r.execute_command(*words)


def test_none_comes_through(world: World, owner: redis.Redis, kind: str) -> None:
    seeded(owner)
    before = others(owner)
    r = client(world.worker(*OWN))
    assert len(ATTACKS) > 130
    for line in ATTACKS:
        with pytest.raises(redis.ResponseError) as refused:
            attacked(r, line)
        assert SECRET.decode() not in str(refused.value), line
        assert "127.0.0.1" not in str(refused.value), line
    assert others(owner) == before
    assert r.get("own:a") == b"a"
    assert r.set("own:b", 1) is True


@pytest.mark.parametrize("transaction", [False, True])
def test_none_comes_through_in_a_pipeline(world: World, owner: redis.Redis, transaction: bool) -> None:
    seeded(owner)
    before = others(owner)
    r = client(world.worker(*OWN))
    for line in ATTACKS:
        if line.startswith(("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE")):
            continue
        pipeline = r.pipeline(transaction=transaction)
        pipeline.set("own:mark", line)
        with pytest.raises(redis.ResponseError):  # noqa: PT012 - WATCH is sent at once
            pipeline.execute_command(*line.split(" "))
            pipeline.execute()
    assert owner.get("own:mark") is None
    assert others(owner) == before


def test_a_key_with_line_ends_is_one_key(world: World, owner: redis.Redis) -> None:
    """Row 109: commands are never made of text."""
    r = client(world.worker(*OWN))
    smuggled = b"own:a\r\n*3\r\n$3\r\nSET\r\n$5\r\nother\r\n$1\r\nx\r\n"
    assert r.set(smuggled, "v\r\n*1\r\n$8\r\nFLUSHALL\r\n") is True
    assert list(owner.scan_iter("*")) == [smuggled]
    assert r.get(smuggled) == b"v\r\n*1\r\n$8\r\nFLUSHALL\r\n"
    with r.pubsub() as pubsub:
        pubsub.subscribe(smuggled)
        assert pubsub.get_message(timeout=5)["channel"] == smuggled
        assert r.publish(smuggled, "x\r\n") == 1
        assert pubsub.get_message(timeout=5)["data"] == b"x\r\n"
    assert owner.get("other") is None


def test_names_that_look_like_others_are_the_plugins_own(world: World, owner: redis.Redis) -> None:
    seeded(owner)
    r = client(world.worker(*OWN))
    for key in ("own:../other", "own:*", "own:a\x00", "own:[o]ther", "own:a b"):
        assert r.set(key, key) is True
        assert (r.get(key), owner.get(key)) == (key.encode(), key.encode())
    assert owner.get("other") == SECRET


def test_keys_that_are_no_text_are_taken_for_what_they_are(world: World) -> None:
    r = client(world.worker("redis.read:own:**", "redis.write:own:**"))
    assert r.set(b"own:\xff\xfe", 1) is True
    assert r.get(b"own:\xff\xfe") == b"1"
    for key in (b"ow\xff:a", b"\xffown:a", "own\N{FULLWIDTH COLON}a".encode()):
        with pytest.raises(redis.exceptions.NoPermissionError):
            r.set(key, 1)


@pytest.fixture
def unchecked(real_world: Hosted, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """With the broker's check switched off: only the server's own stands."""

    def waved_through(table: Any, command: tuple[bytes, ...], backend: str) -> Examined:
        # Without needs: any right to the server will do.
        name = b"|".join(command[:2]).lower() if command[0].lower() in (b"acl", b"client") else command[0].lower()
        return Examined(name.decode(errors="replace"), command)

    def subscribed(guard: Any, command: tuple[bytes, ...], backend: str) -> Any:
        return ()

    monkeypatch.setattr(redis_service, "examined", waved_through)
    monkeypatch.setattr(redis_service, "decide_subscription", subscribed)
    return client(real_world.worker(*OWN))


@pytest.mark.system
def test_the_server_refuses_again_where_the_broker_would_not(unchecked: redis.Redis, server: RedisServer) -> None:
    with server.client() as owner:
        seeded(owner)
        before = others(owner)
        assert unchecked.get("own:a") == b"a"
        assert unchecked.eval("return redis.call('GET', 'own:a')", 0) == b"a"
        for line in FENCED:
            with pytest.raises(redis.ResponseError) as refused:
                attacked(unchecked, line)
            assert SECRET.decode() not in str(refused.value)
            told = str(refused.value)
            assert (
                isinstance(refused.value, redis.exceptions.NoPermissionError) or "ermission" in told or "can't" in told
            ), (
                line,
                told,
            )
        assert others(owner) == before


def is_fence(told: str) -> bool:
    """What the server's ACL says of what a script, or an option, wants to touch."""
    return "can't run this command" in told or "can't access" in told or "insufficient ACL permissions" in told


@pytest.mark.system
@pytest.mark.parametrize("line", ["SUBSCRIBE other", "PSUBSCRIBE *", "SSUBSCRIBE other"])
def test_so_it_does_with_channels(unchecked: redis.Redis, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def not_told(*_: Any) -> None:
        """The host tells the server of a pattern that it has allowed; this one was not."""

    monkeypatch.setattr("moorage.broker.services.redis.server.Server.allow_pattern", not_told)
    pubsub = unchecked.pubsub()
    pubsub.execute_command(*line.split(" "))
    with pytest.raises(redis.exceptions.NoPermissionError):
        pubsub.parse_response(block=False, timeout=5)
    pubsub.close()


@pytest.mark.system
def test_the_users_rights_follow_the_grants(real_world: Hosted, server: RedisServer) -> None:
    worker = real_world.worker("redis.read:a:**", "redis.write:a:*")
    r = client(worker)
    assert r.set("a:b", 1) is True
    # Neither of the two can be told from the other there.
    assert user(server)["keys"] == ["~a:*"]
    worker.set_grants("redis.read:b", "redis.publish:c")
    with pytest.raises(redis.exceptions.NoPermissionError):
        r.get("a:b")
    assert r.get("b") is None
    assert (user(server)["keys"], user(server)["channels"]) == (["%R~b"], ["&c"])


def user(server: RedisServer) -> dict[str, Any]:
    with server.client() as owner:
        (name,) = (name for name in owner.acl_users() if name != "default")
        return owner.acl_getuser(name)


@pytest.mark.system
def test_users_go_with_the_host(server: RedisServer) -> None:
    from redis_worlds import hosted_real

    world = hosted_real(server)
    client(world.worker(*OWN)).get("own:a")
    with server.client() as owner:
        # What another host, and a host that was killed, have left behind.
        owner.acl_setuser("moorage/another/main/churn", enabled=True)
        owner.acl_setuser("moorage/test/main/gone", enabled=True)
        assert "moorage/test/main/churn" in owner.acl_users()
        world.close()
        assert "moorage/test/main/churn" not in owner.acl_users()
        again = hosted_real(server)
        client(again.worker(*OWN)).get("own:a")
        assert set(owner.acl_users()) == {"default", "moorage/another/main/churn", "moorage/test/main/churn"}
        again.close()
    assert server.clients() == []


def test_wild_needs_decide_as_on_the_host() -> None:
    """The same function is asked on both sides."""
    needs = examine_subscription((b"PSUBSCRIBE", b"own:*"), "main")
    assert not any(Grants().decide(need).allowed for need in needs)
