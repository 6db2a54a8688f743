"""Every command that a real server has: refused, or each of its keys decided on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from redis import Connection, ResponseError
from redis_calls import CallMaker, counted, fields
from servers.redis import RedisServer

from moorage_proto.redis_access import READ, WRITE, CommandRefused, examine, offered
from moorage_proto.redis_table import CommandSpec, CommandTable, KeysUnclear, committed_table, table_from_reply

pytestmark = pytest.mark.system

#: Calls that are made up for each command.
CALLS = 60

#: Offered without a key: they show nothing and change nothing of what is stored, or are decided by what they name.
WITHOUT_KEYS = {
    *("ping", "echo", "time", "wait", "multi", "exec", "discard", "unwatch"),
    *("command|count", "command|docs", "command|info", "command|list"),
    *("scan", "publish", "spublish", "pubsub|channels", "pubsub|numsub", "pubsub|numpat", "pubsub|shardchannels"),
    *("pubsub|shardnumsub", "script|load", "script|exists"),
}
ANSWERED_BY_THE_HOST = {
    *("auth", "hello", "quit", "reset"),
    *("client|getname", "client|setname", "client|no-evict"),
}


@pytest.fixture(scope="module")
def table(real_server: RedisServer) -> CommandTable:
    return table_from_reply(asked(real_server, "COMMAND"))


def asked(server: RedisServer, *command: str) -> Any:
    with server.client() as client:
        connection = client.connection_pool.get_connection()
        connection.send_command(*command)
        try:
            return connection.read_response()
        finally:
            client.connection_pool.release(connection)


def every(table: CommandTable) -> list[CommandSpec]:
    return [each for spec in table.values() for each in (spec, *spec.subcommands.values())]


def flagged(connection: Connection, call: list[bytes]) -> dict[bytes, set[bytes]] | None:
    """What the server itself says that the call's keys are used for; None where it finds the call wrong."""
    connection.send_command("COMMAND", "GETKEYSANDFLAGS", *call)
    try:
        found = connection.read_response()
    except ResponseError as error:
        return {} if "no key arguments" in str(error) else None
    return {key: set(flags) for key, flags in found}


def rights(flags: set[bytes]) -> set[str]:
    """As the server's ACL reads them."""
    wanted = {READ} if b"access" in flags else set()
    return wanted | ({WRITE} if flags & {b"insert", b"update", b"delete"} else set())


def test_the_committed_table_is_the_servers(table: CommandTable) -> None:
    assert committed_table() == table


class Comparison:
    """Between what is decided on and what the server says itself."""

    def __init__(self, table: CommandTable, connection: Connection) -> None:
        self._table = table
        self._connection = connection
        self.outcomes: Counter[str] = Counter()
        #: Commands of which some call had keys.
        self.compared: set[str] = set()

    def compare(self, call: list[bytes]) -> None:
        try:
            examined = examine(self._table, call, "main")
        except (CommandRefused, KeysUnclear) as refusal:
            self.outcomes[type(refusal).__name__] += 1
            return
        if examined.is_answered:
            assert examined.name in ANSWERED_BY_THE_HOST
            return
        found = flagged(self._connection, call)
        needs = {(need.resource.partition("/")[2].encode(), need.verb) for need in examined.needs}
        for key, flags in (found or {}).items():
            wanted = set() if b"not_key" in flags else rights(flags) or {READ}
            named = {verb for resource, verb in needs if resource == key}
            assert named, call
            assert named >= wanted, (call, flags)
        if found:
            self.compared.add(examined.name)
        elif found is not None:
            assert examined.name in WITHOUT_KEYS or needs, call
        self.outcomes["wrong" if found is None else "compared"] += 1


def test_every_command_is_refused_or_all_its_keys_are_decided_on(real_server: RedisServer, table: CommandTable) -> None:
    docs = {name: fields(told) for name, told in fields(asked(real_server, "COMMAND", "DOCS")).items()}
    for told in list(docs.values()):
        docs.update({name: fields(each) for name, each in fields(told.get(b"subcommands", [])).items()})
    maker = CallMaker(seed=4)
    with real_server.client() as client:
        comparison = Comparison(table, client.connection_pool.get_connection())
        for spec in every(table):
            name = spec.name.encode()
            arguments = docs.get(name, {}).get(b"arguments", [])
            for _ in range(CALLS if arguments else 1):
                comparison.compare(counted(maker.call(name, arguments)))
    with_keys = {name for name in offered(table, scripts=True) if not name.endswith("subscribe")} - WITHOUT_KEYS
    assert with_keys <= comparison.compared, with_keys - comparison.compared
    assert comparison.outcomes["compared"] > 5_000, comparison.outcomes


def test_nothing_without_keys_is_offered_but_what_is_known(table: CommandTable) -> None:
    for spec in every(table):
        call = [*spec.name.encode().split(b"|"), b"2", b"2", b"2"]
        try:
            examined = examine(table, call, "main")
        except (CommandRefused, KeysUnclear):
            continue
        if not examined.needs:
            assert examined.name in WITHOUT_KEYS | ANSWERED_BY_THE_HOST


@pytest.mark.parametrize(
    "name",
    [
        *("acl|setuser", "bgrewriteaof", "bgsave", "client|kill", "client|list", "client|pause", "client|reply"),
        *("client|tracking", "client|unblock", "cluster|reset", "config|get", "config|set", "dbsize", "debug"),
        *("failover", "flushall", "flushdb", "function|load", "function|flush", "function|list", "info", "keys"),
        *("lastsave", "latency|reset", "memory|doctor", "migrate", "module|load", "monitor", "move", "psync"),
        *("randomkey", "replicaof", "restore", "role", "save", "script|flush", "script|kill", "select", "shutdown"),
        *("slaveof", "slowlog|get", "swapdb", "sync", "acl|whoami", "acl|genpass", "lolwut", "readonly", "asking"),
        *("command|getkeys", "client|info", "client|id", "replconf", "pfdebug", "subscribe", "psubscribe"),
    ],
)
def test_dangerous_ones_are_not_offered(table: CommandTable, name: str) -> None:
    with pytest.raises(CommandRefused, match=name.partition("|")[0].upper()):
        examine(table, [*name.encode().split(b"|"), b"a", b"b", b"1"], "main")
    assert name not in offered(table, scripts=True) or name.endswith("subscribe")
