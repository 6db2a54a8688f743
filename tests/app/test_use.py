"""What grants were used for, on its way into the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from moorage.app.use import GrantUse, by_grant
from moorage.broker.use import RightUse, Use
from moorage.store.errors import StoreFailed
from moorage.store.grants import Effect, Grant, Used
from moorage_proto.capability import parse

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Rows:
    """The grants of churn, in memory."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.failure: Exception | None = None
        self.counts: dict[str, int] = {}

    async def list(self, _installation: str) -> tuple[Grant, ...]:
        denied = Grant("sql.read:cards", Effect.DENY, "", "eve", NOON)
        return (*(Grant(text, Effect.ALLOW, "", "dana", NOON) for text in self.texts), denied)

    async def used(self, uses: dict[tuple[str, str], Used]) -> None:
        if self.failure is not None:
            raise self.failure
        for (_installation, text), used in uses.items():
            self.counts[text] = self.counts.get(text, 0) + used.count


def test_uses_go_to_the_narrowest_grant_that_holds_the_right() -> None:
    uses = {
        parse("sql.read:users"): RightUse(3, NOON.timestamp()),
        parse("sql.read:plays"): RightUse(2, NOON.timestamp() + 5),
        parse("sql.read:songs"): RightUse(4, NOON.timestamp()),
        parse("kafka.produce:gone"): RightUse(1, NOON.timestamp()),
    }

    found = by_grant(uses, ["sql.read:**", "sql.read:users", "kafka.produce:other"])

    assert found == {
        "sql.read:users": Used(3, NOON),
        "sql.read:**": Used(6, NOON + timedelta(seconds=5)),
    }


async def test_what_is_counted_is_written_once_and_at_the_end() -> None:
    use, rows = Use(()), Rows("sql.read:users")
    writer = GrantUse({"churn": use}, rows, timedelta(hours=1))
    await writer.open()
    use.allowed(parse("sql.read:users"))
    await writer.flush()
    await writer.flush()
    assert rows.counts == {"sql.read:users": 1}

    use.allowed(parse("sql.read:users"))
    await writer.close()
    assert rows.counts == {"sql.read:users": 2}


async def test_a_store_that_fails_loses_no_count() -> None:
    use, rows = Use(()), Rows("sql.read:users")
    writer = GrantUse({"churn": use}, rows, timedelta(hours=1))
    await writer.open()
    use.allowed(parse("sql.read:users"))
    rows.failure = StoreFailed("disk full")
    with pytest.raises(StoreFailed):
        await writer.flush()
    use.allowed(parse("sql.read:users"))
    rows.failure = None
    await writer.flush()
    assert rows.counts == {"sql.read:users": 2}
    await writer.close()


def test_methods_are_shown_most_called_first() -> None:
    use = Use({"/moorage.v1.KafkaService/Produce", "/moorage.v1.LogService/Write"})
    use.of("/moorage.v1.KafkaService/Produce").calls = 2
    use.of("/moorage.v1.LogService/Write").calls = 5
    use.of("/no/such").denied = 1
    writer = GrantUse({"churn": use}, Rows())

    shown = writer.of("churn")

    assert [(each.method, each.calls, each.denied) for each in shown.methods] == [
        ("LogService.Write", 5, 0),
        ("KafkaService.Produce", 2, 0),
        ("", 0, 1),
    ]
    assert shown.since is not None
    assert writer.of("nobody").methods == ()
