from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from memory_link import SCOPE, Connected, RecordingAudit, connected, grants

from moorage.broker.broker import Broker
from moorage.broker.services.config import ConfigService, setting
from moorage_proto import config_pb2, values
from moorage_proto.errors import CallError, Reason
from moorage_proto.methods import service_methods

GET = service_methods(config_pb2, "ConfigService")["get"]
SETTINGS: dict[str, dict[str, Any]] = {
    "churn": {
        "greeting": "hello",
        "retries": 3,
        "since": date(2026, 1, 1),
        "topics": ["a", "b"],
        "nothing": None,
        "mail": {"from": "a@example.com", "smtp": {"port": 25}},
    },
    "other": {"greeting": "hi"},
}


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    made = Broker([ConfigService(lambda installation, _: SETTINGS[installation])], RecordingAudit())
    await made.open()
    yield made
    await made.close()


async def get(link: Connected, key: str, scope: str = SCOPE) -> config_pb2.GetSettingReply:
    return await link.worker.call(GET, config_pb2.GetSettingRequest(key=key), scope=scope)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("greeting", "hello"),
        ("retries", 3),
        ("since", date(2026, 1, 1)),
        ("topics", ["a", "b"]),
        ("nothing", None),
        ("mail.from", "a@example.com"),
        ("mail.smtp.port", 25),
    ],
)
async def test_a_setting_is_read_by_its_dotted_key(broker: Broker, key: str, value: Any) -> None:
    async with connected(broker, grants("config.read:**")) as link:
        reply = await get(link, key)
        assert reply.found
        assert values.from_wire(reply.value) == value


@pytest.mark.parametrize("key", ["farewell", "mail.to", "greeting.more", "", ".", "mail.", "mail..from", "GREETING"])
async def test_a_setting_that_is_not_there_is_not_found(broker: Broker, key: str) -> None:
    async with connected(broker, grants("config.read:**")) as link:
        reply = await get(link, key)
        assert not reply.found
        assert not reply.HasField("value")


async def test_each_installation_has_its_own(broker: Broker) -> None:
    async with (
        connected(broker, grants("config.read:**")) as churn,
        connected(broker, grants("config.read:**"), installation="other", scope="e-2") as other,
    ):
        assert (await get(churn, "greeting")).value.text == "hello"
        assert (await get(other, "greeting", "e-2")).value.text == "hi"
        assert not (await get(other, "retries", "e-2")).found


async def test_a_key_outside_the_grant_is_denied(broker: Broker) -> None:
    async with connected(broker, grants("config.read:mail.*")) as link:
        with pytest.raises(CallError) as refused:
            await get(link, "greeting")
        assert refused.value.remedy == "moorage grant churn 'config.read:greeting'"
        assert (await get(link, "mail.from")).found


async def test_a_table_is_no_way_around_a_denied_key(broker: Broker) -> None:
    async with connected(broker, grants("config.read:**", deny=["config.read:mail.from"])) as link:
        with pytest.raises(CallError, match="is a table of settings") as refused:
            await get(link, "mail")
        assert refused.value.reason == Reason.REQUEST_INVALID
        with pytest.raises(CallError) as refused:
            await get(link, "mail.from")
        assert refused.value.reason == Reason.CAPABILITY_MISSING
        assert (await get(link, "mail.smtp.port")).value.integer == 25


def test_a_value_of_none_is_a_setting() -> None:
    assert setting({"a": None}, "a") == (True, None)
    assert setting({"a": None}, "b") == (False, None)
