"""Writes the committed table of Redis commands from the redis-server of this machine, or compares with it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "proto" / "moorage_proto" / "redis_commands.json"

# The server is started as the tests start theirs.
sys.path.insert(0, str(ROOT / "tests" / "support"))

from servers.redis import RedisServer, redis_server  # noqa: E402 - found by the line above

from moorage_proto.redis_table import table_from_reply, table_to_json  # noqa: E402 - the same


def main() -> int:
    with redis_server() as server:
        text = told_by(server)
    if "--check" not in sys.argv[1:]:
        TABLE.write_text(text)
        return 0
    if TABLE.read_text() != text:
        print("redis_commands: the committed table is not this server's; run scripts/redis_commands", file=sys.stderr)
        return 1
    return 0


def told_by(server: RedisServer) -> str:
    with server.client() as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("COMMAND")
        reply = connection.read_response()
        client.connection_pool.release(connection)
    return table_to_json(table_from_reply(reply))


if __name__ == "__main__":
    sys.exit(main())
