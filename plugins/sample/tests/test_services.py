"""Every service in one task, on fakes."""

import pytest
from jukebox_models import User
from sample.plugin import question, services

from moorage_sdk.testing import Moorage


@pytest.fixture
def world(moorage: Moorage) -> Moorage:
    moorage.sql.add(User(name="Ada"))
    moorage.secrets["SAMPLE_API_KEY"] = "k3y"
    moorage.http.answer("GET", "https://api.example.com/v1/**", json={"greeting": "Moin"})
    moorage.events.answer("sample.question", lambda data: data["number"] + 1)
    return moorage


def test_shows_what_every_service_does(world):
    run = world.run(services)

    assert run.result == {
        "config": {"greeting": "Hello"},
        "sql": {"users": 1},
        "kafka": {"offsets": [0, 1]},
        "storage": {"text": "Moin", "has_room": True},
        "redis": {"runs": 1},
        "servicebus": {"received": ["Moin"]},
        "http": {"status": 200, "greeting": "Moin"},
        "events": {"answer": 21},
        "secrets": {"known": False, "names": ["SAMPLE_API_KEY", "SAMPLE_SESSION"]},
    }
    assert [line.message for line in run.logs if "shown" in line.message] == ["9 services were shown"]


def test_the_services_have_seen_it(world):
    world.run(services)

    assert world.kafka.values("plugin-topic") == [b"one", b"two"]
    assert world.redis.client.get("sample:runs") == b"1"
    assert world.servicebus.bodies("sample") == [b"Moin"]
    assert len(world.servicebus.completed("sample")) == 1
    assert [event.data for event in world.events.published("sample.*")] == [{"by": "sample"}]
    assert set(world.secrets.values) == {"SAMPLE_API_KEY", "SAMPLE_SESSION"}


def test_a_server_that_cannot_be_reached_is_shown_as_that(world):
    world.http.fail("GET", "https://api.example.com/v1/**", "connect")

    assert "error" in world.run(services).result["http"]


def test_finds_again_what_it_kept(world):
    world.run(services)

    assert world.run(services).result["secrets"]["known"] is True


@pytest.mark.parametrize(
    ("right", "left_out"),
    [
        ("redis.read:sample:*", None),
        ("http.get:https://api.example.com/v1/**", "http"),
        ("events.publish:sample.*", None),
    ],
)
def test_without_a_right_the_service_is_left_out_or_refuses(world, right, left_out):
    world.deny(right)

    run = world.run(services)

    if left_out is not None:
        assert left_out not in run.result
    else:
        assert run.error.capability.startswith(right.partition(":")[0])


def test_replies(world):
    assert world.handle(question, "sample.question", {"number": 1}).result == 2
