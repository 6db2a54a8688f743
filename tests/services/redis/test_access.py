"""What commands need, by the committed table: pure, without any server."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto.redis_access import (
    CommandRefused,
    Session,
    examine,
    examine_subscription,
    offered,
    script_digest,
)
from moorage_proto.redis_names import glob_pattern, name_text, pattern_text
from moorage_proto.redis_table import KeysUnclear, committed_table, table_from_reply, whole_number
from moorage_proto.redis_waiting import waiting_limited

SHA = script_digest(b"return 1").decode()


def examined(line: str | list[bytes], backend: str = "main"):
    words = line.encode().split(b" ") if isinstance(line, str) else line
    return examine(committed_table(), words, backend)


def needed(line: str | list[bytes], backend: str = "main") -> list[str]:
    return sorted(str(need) for need in examined(line, backend).needs)


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("GET a", "redis.read:a"),
        ("get a", "redis.read:a"),
        ("SET a 1", "redis.write:a"),
        ("SET a 1 EX 5 get", "redis.read:a redis.write:a"),
        ("MGET own other", "redis.read:other redis.read:own"),
        ("MSET a get b 2", "redis.write:a redis.write:b"),
        ("DEL a b", "redis.write:a redis.write:b"),
        ("RENAME own other", "redis.read:own redis.write:other redis.write:own"),
        ("INCR a", "redis.read:a redis.write:a"),
        ("LPUSH a x", "redis.write:a"),
        ("EXISTS a b", "redis.read:a redis.read:b"),
        ("COPY a b REPLACE", "redis.read:a redis.write:b"),
        ("BITOP AND d a b", "redis.read:a redis.read:b redis.write:d"),
        ("BITFIELD a GET u8 0", "redis.read:a"),
        ("BITFIELD a GET u8 0 SET u8 0 1", "redis.read:a redis.write:a"),
        ("SORT a", "redis.read:a"),
        ("SORT a LIMIT 0 1 store b STORE c", "redis.read:a redis.write:b redis.write:c"),
        ("SORT a BY w_* GET # GET o_*", "redis.read:** redis.read:a"),
        ("SORT a BY nosort", "redis.read:a"),
        ("SORT_RO a GET o_*", "redis.read:** redis.read:a"),
        ("GEORADIUS a 1 2 3 m STORE b STOREDIST c", "redis.read:a redis.write:b redis.write:c"),
        ("GEORADIUS a 1 2 3 m STORE b STORE c", "redis.read:a redis.write:b redis.write:c"),
        ("GEORADIUSBYMEMBER a m 3 m STOREDIST c", "redis.read:a redis.write:c"),
        ("GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 m", "redis.read:s redis.write:d"),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "redis.read:a redis.read:b redis.write:d"),
        ("ZINTER 2 a b", "redis.read:a redis.read:b"),
        ("SINTERCARD 2 a b LIMIT 1", "redis.read:a redis.read:b"),
        ("LMPOP 2 a b LEFT", "redis.read:a redis.read:b redis.write:a redis.write:b"),
        ("BLMPOP 0 1 a LEFT", "redis.read:a redis.write:a"),
        ("BLPOP a b 0", "redis.read:a redis.read:b redis.write:a redis.write:b"),
        ("XREAD COUNT 1 STREAMS a b 0 0", "redis.read:a redis.read:b"),
        ("XREADGROUP GROUP g c STREAMS a >", "redis.read:a"),
        ("XGROUP CREATE a g 0", "redis.write:a"),
        ("XINFO STREAM a", "redis.read:a"),
        ("OBJECT ENCODING a", "redis.read:a"),
        ("MEMORY USAGE a", "redis.read:a"),
        ("WATCH a b", "redis.read:a redis.read:b"),
        ("PUBLISH a x", "redis.publish:a"),
        ("SPUBLISH a x", "redis.publish:a"),
        ("PUBSUB CHANNELS news.*", "redis.subscribe:news.**"),
        ("PUBSUB CHANNELS", "redis.subscribe:**"),
        ("PUBSUB NUMSUB a b", "redis.subscribe:a redis.subscribe:b"),
        ("SCAN 0 MATCH cache:* COUNT 5", "redis.read:cache:**"),
        ("SCAN 0 MATCH cache:* MATCH b*", "redis.read:b** redis.read:cache:**"),
        ("SCAN 0", "redis.read:**"),
        ("SSCAN a 0 MATCH x*", "redis.read:a"),
        (f"EVALSHA {SHA.upper()} 1 a x", f"redis.read:a redis.script:{SHA} redis.write:a"),
        (f"EVALSHA_RO {SHA} 1 a", f"redis.read:a redis.script:{SHA}"),
        ("FCALL f 0", "redis.script:f"),
        (f"SCRIPT EXISTS {SHA}", f"redis.script:{SHA}"),
        ("PING", ""),
        ("ECHO a", ""),
        ("MULTI", ""),
    ],
)
def test_needs(line: str, needs: str) -> None:
    assert needed(line) == needs.split(" ") if needs else needed(line) == []


def test_a_script_is_named_by_its_digest() -> None:
    assert needed([b"EVAL", b"return 1", b"1", b"a"]) == ["redis.read:a", f"redis.script:{SHA}", "redis.write:a"]
    assert needed([b"SCRIPT", b"LOAD", b"return 1"]) == [f"redis.script:{SHA}"]


def test_needs_are_of_the_named_backend() -> None:
    assert needed("GET a", "analytics") == ["redis.read:analytics/a"]
    assert needed("SCAN 0 MATCH a*", "analytics") == ["redis.read:analytics/a**"]


@pytest.mark.parametrize(
    "line",
    [
        *("CONFIG GET *", "FLUSHALL", "FLUSHDB", "KEYS *", "DEBUG SLEEP 1", "SHUTDOWN", "MODULE LOAD x", "ACL LIST"),
        *("CLIENT KILL x", "REPLICAOF h 1", "MIGRATE h 1 k 0 1", "SWAPDB 0 1", "SELECT 1", "MONITOR", "SCRIPT FLUSH"),
        *("FUNCTION LOAD x", "RANDOMKEY", "DBSIZE", "INFO", "MOVE a 1", "COPY a b DB 1", "RESTORE a 0 x"),
        *("SUBSCRIBE a", "OBJECT", "XGROUP", "XGROUP NOPE a", "NOPE a", "GET|a b", "XGROUP|CREATE a b c", "COMMAND"),
        *("CLIENT TRACKING ON", "CLIENT REPLY OFF", "CLUSTER RESET", "SORT_RO_ a", "\x00GET a", "GET\r\n a"),
    ],
)
def test_refused_whatever_is_granted(line: str) -> None:
    with pytest.raises(CommandRefused):
        examined(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        *("ZUNIONSTORE d x a", "ZUNIONSTORE d 3 a b", "EVAL s -1 a", "EVAL s +1 a", "EVAL s 1_0 a", "SINTERCARD 01 a"),
        *("LMPOP 99999999999999999999 a LEFT", "SCAN 0 MATCH", "GET", "SET", "XREAD BLOCK 0", "PUBLISH", "SORT"),
    ],
)
def test_what_does_not_tell_its_keys(line: str) -> None:
    with pytest.raises(KeysUnclear):
        examined(line.encode().split(b" ") if line else [])


def test_the_keyword_of_keys_as_a_value_hides_none() -> None:
    """Options come in any order, and the server's own description of XREADGROUP finds the group's name first."""
    needs = needed("XREADGROUP COUNT 1 GROUP STREAMS c STREAMS secret >")
    assert "redis.read:secret" in needs


def test_a_key_with_line_ends_is_one_key() -> None:
    assert needed([b"GET", b"a\r\n$3\r\nGET"]) == ["redis.read:a\r\n$3\r\nGET"]


def test_a_key_that_is_too_long_is_refused() -> None:
    with pytest.raises(CommandRefused, match="4096 bytes"):
        examined([b"GET", b"a" * 4097])


def test_backends_say_what_is_answered_for_them() -> None:
    assert examined("CLIENT SETNAME x").answer == b"OK"
    assert examined("client setinfo lib-name x").is_answered
    assert examined("AUTH user password").is_answered


@pytest.mark.parametrize(
    ("line", "blocks"),
    [
        ("BLPOP a 0", True),
        ("XREAD STREAMS a 0", False),
        ("XREAD BLOCK 0 STREAMS a 0", True),
        ("WAIT 1 0", True),
        ("LPOP a", False),
    ],
)
def test_which_wait(line: str, blocks: bool) -> None:
    assert examined(line).blocks is blocks


@pytest.mark.parametrize(
    ("line", "limited"),
    [
        ("BLPOP a 0", "BLPOP a 2.500"),
        ("BLPOP a 9", "BLPOP a 2.500"),
        ("BLPOP a 1", None),
        ("BLPOP a x", None),
        ("BLMPOP 0 1 a LEFT", "BLMPOP 2.500 1 a LEFT"),
        ("XREAD BLOCK 0 STREAMS a 0", "XREAD BLOCK 2500 STREAMS a 0"),
        ("XREADGROUP GROUP g c BLOCK 9000 STREAMS a >", "XREADGROUP GROUP g c BLOCK 2500 STREAMS a >"),
        ("WAIT 1 0", "WAIT 1 2500"),
        # What stands in the places of keys and names is never changed: it was decided on.
        ("XREAD STREAMS block 0 0 0", None),
        ("XREAD COUNT 1 STREAMS block 9000 $ $", None),
        ("XREAD BLOCK 1 STREAMS block 9000 $ $", None),
        ("XREADGROUP GROUP block 0 STREAMS a >", None),
        ("XREADGROUP GROUP block 0 NOACK BLOCK 0 STREAMS a >", "XREADGROUP GROUP block 0 NOACK BLOCK 2500 STREAMS a >"),
        ("XREAD BLOCK 0 BLOCK 9000 STREAMS a 0", "XREAD BLOCK 0 BLOCK 2500 STREAMS a 0"),
        ("XREAD BLOCK 0 BLOCK 1 STREAMS a 0", None),
    ],
)
def test_waiting_is_limited(line: str, limited: str | None) -> None:
    words = waiting_limited(examined(line), 2.5)
    assert words == (None if limited is None else tuple(limited.encode().split(b" ")))


def test_what_a_session_has_open() -> None:
    session = Session()
    for name, neutral in [("watch", False), ("get", False), ("unwatch", True), ("multi", False), ("watch", False)]:
        session = session.after(name)
        assert session.is_neutral is neutral
    assert not session.after("unwatch").is_neutral
    assert session.after("exec").is_neutral
    assert Session().after("watch").after("exec") == Session(is_watching=True)


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("SUBSCRIBE a b", ["redis.subscribe:a", "redis.subscribe:b"]),
        ("SSUBSCRIBE a", ["redis.subscribe:a"]),
        ("PSUBSCRIBE news.* h?llo h[ae]llo plain", None),
        ("UNSUBSCRIBE", []),
        ("PING x", []),
    ],
)
def test_needs_of_subscriptions(line: str, needs: list[str] | None) -> None:
    found = examine_subscription(line.encode().split(b" "), "main")
    if needs is not None:
        assert [str(need) for need in found] == needs
    else:
        assert [(str(need).partition(":")[2], need.wild) for need in found] == [
            ("news.**", True),
            ("h**llo", True),
            ("h**llo", True),
            ("plain", False),
        ]


def test_other_commands_are_none_of_a_subscription() -> None:
    with pytest.raises(CommandRefused, match="'GET' cannot be called on a subscription"):
        examine_subscription([b"GET", b"a"], "main")


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_no_two_names_have_the_same_text(one: bytes, other: bytes) -> None:
    assert (name_text(one) == name_text(other)) is (one == other)
    name_text(one).encode()


def test_names_are_their_own_text() -> None:
    assert name_text("grüß:*".encode()) == "grüß:*"
    assert name_text(b"a\xff") == "a\N{REPLACEMENT CHARACTER}ff"


def redis_match(pattern: bytes, text: bytes) -> bool:
    """stringmatchlen of Redis' util.c, in Python."""
    p = t = 0
    while p < len(pattern) and t < len(text):
        mark = pattern[p : p + 1]
        if mark == b"*":
            return any(redis_match(pattern[p + 1 :], text[at:]) for at in range(t, len(text) + 1))
        if mark == b"[":
            p, matches = in_brackets(pattern, p + 1, text[t])
            if not matches:
                return False
        elif mark == b"\\" and p + 1 < len(pattern):
            p += 1
            if pattern[p] != text[t]:
                return False
        elif mark != b"?" and pattern[p] != text[t]:
            return False
        p, t = p + 1, t + 1
    return t == len(text) and not pattern[p:].strip(b"*")


def in_brackets(pattern: bytes, p: int, character: int) -> tuple[int, bool]:
    negated = pattern[p : p + 1] == b"^"
    p += negated
    found = False
    while p < len(pattern) and pattern[p : p + 1] != b"]":
        if pattern[p : p + 1] == b"\\" and p + 1 < len(pattern):
            p += 1
            found |= pattern[p] == character
        elif pattern[p + 1 : p + 2] == b"-" and p + 2 < len(pattern):
            low, high = sorted((pattern[p], pattern[p + 2]))
            found |= low <= character <= high
            p += 2
        else:
            found |= pattern[p] == character
        p += 1
    return min(p, len(pattern) - 1), found is not negated


marks = st.lists(st.sampled_from([b"a", b"b", b".", b"*", b"?", b"[", b"]", b"\\", b"^", b"-"]), max_size=6).map(
    b"".join
)


@given(pattern=marks, text=st.lists(st.sampled_from([b"a", b"b", b".", b"*", b"]"]), max_size=4).map(b"".join))
def test_a_patterns_text_stands_for_all_that_it_matches(pattern: bytes, text: bytes) -> None:
    glob, wild = pattern_text(pattern)
    if not redis_match(pattern, text):
        return
    if not wild:
        assert name_text(text) == glob
        return
    expression = "".join({"**": "(?s:.*)", "*": "(?s:.*)"}.get(part) or re.escape(part) for part in split(glob))
    assert re.fullmatch(expression, name_text(text))


def split(glob: str) -> list[str]:
    return re.split(r"(\*\*|\*)", glob)


@given(st.text(st.sampled_from(r"ab*?[]\^-"), max_size=6), st.text(st.sampled_from(r"ab?[]\^-"), max_size=6))
def test_a_glob_as_a_redis_pattern_matches_no_less(glob: str, text: str) -> None:
    pattern, exact = glob_pattern(glob)
    expression = "".join({"**": "(?s:.*)", "*": "[^/.:]*"}.get(part) or re.escape(part) for part in split(glob))
    fits = re.fullmatch(expression, text) is not None
    assert redis_match(pattern.encode(), text.encode()) or not fits
    if exact:
        assert redis_match(pattern.encode(), text.encode()) is fits


@pytest.mark.parametrize("text", [b"+1", b" 1", b"1 ", b"1_0", b"01", b"-0", b"", b"-", b"1.0", "\u0661".encode()])
def test_numbers_as_redis_reads_them(text: bytes) -> None:
    assert whole_number(text) is None


def test_scripts_are_offered_only_where_they_are_granted() -> None:
    without, with_them = (set(offered(committed_table(), scripts=scripts)) for scripts in (False, True))
    assert {"get", "sort", "xgroup|create", "subscribe", "scan", "exec"} <= without
    scripts = {"eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro", "script|load", "script|exists"}
    assert with_them - without == scripts


def test_an_older_servers_table_is_completed() -> None:
    """As Redis 5 and 6 answer: keys by three numbers, subcommands not at all."""
    old = table_from_reply(
        [
            [b"get", 2, [b"readonly", b"fast"], 1, 1, 1],
            [b"mset", -3, [b"write", b"denyoom"], 1, -1, 2],
            [b"blpop", -3, [b"write", b"noscript"], 1, -2, 1],
            [b"xgroup", -2, [b"write"], 2, 2, 1],
            [b"eval", -3, [b"noscript", b"movablekeys"], 0, 0, 0],
            [b"unheard", -3, [b"write", b"movablekeys"], 0, 0, 0],
            [b"flushall", -1, [b"write"], 0, 0, 0],
        ]
    )

    def of(line: str) -> list[str]:
        return sorted({need.resource for need in examine(old, line.encode().split(b" "), "main").needs})

    assert of("GET a") == ["main/a"]
    assert of("MSET a 1 b 2") == ["main/a", "main/b"]
    assert of("BLPOP a b 0") == ["main/a", "main/b"]
    assert of("XGROUP CREATE a g 0") == ["main/a"]
    assert "main/a" in of(f"EVAL {SHA} 1 a")
    for refused in ("UNHEARD a", "FLUSHALL", "NOPE a"):
        with pytest.raises(CommandRefused):
            examine(old, refused.encode().split(b" "), "main")
