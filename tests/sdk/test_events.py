import logging
from dataclasses import dataclass
from typing import List, Optional

import pytest

from moorage_sdk import BackendError, CapabilityMissing, Context, MoorageError, Plugin, PluginInvalid
from moorage_sdk.events import Event, Events
from moorage_sdk.schema import Mismatch


@dataclass
class Play:
    track: str
    seconds: float = 0.0


def test_what_a_task_publishes_is_seen_by_its_test(kit):
    plugin = Plugin()

    @plugin.task
    async def execute(events: Events) -> str:
        events.publish("track.playing", Play("Army of Me"))
        return await events.publish_async("track.ended")

    kit.grant("events.publish:track.*")
    assert kit.run(execute).result == "ev-2"
    (event,) = kit.events.published("track.playing")
    assert (event.topic, event.source, event.data) == (
        "track.playing",
        "churn",
        {"track": "Army of Me", "seconds": 0.0},
    )
    assert event.read(Play) == Play("Army of Me")
    assert [each.data for each in kit.events.published()] == [event.data, None]
    with pytest.raises(Mismatch):
        kit.events.published("track.ended")[0].read(Play)


@pytest.mark.parametrize("topic", ["", "two words", "a..b", ".a", "track.*", "x" * 201, "a/b"])
def test_what_is_no_topic_is_refused(kit, topic):
    plugin = Plugin()

    @plugin.task
    def execute(events: Events) -> None:
        events.publish(topic)

    kit.grant("events.publish:**")
    with pytest.raises(MoorageError, match="is no topic of events"):
        _ = kit.run(execute).result


def test_a_topic_outside_the_grant(kit):
    plugin = Plugin()

    @plugin.task
    def execute(events: Events) -> None:
        events.publish("secret.thing")

    kit.grant("events.publish:track.*")
    with pytest.raises(CapabilityMissing, match=r"events\.publish:secret\.thing"):
        _ = kit.run(execute).result
    kit.grant("events.publish:secret.*")
    assert kit.run(execute).result is None


def test_requests_are_answered_by_the_test(kit):
    plugin = Plugin()

    @plugin.task
    async def execute(events: Events) -> List[int]:
        return [events.request("price.quote", {"item": "a"}), await events.request_async("price.quote", {"item": "b"})]

    kit.grant("events.request:price.*")
    with pytest.raises(BackendError, match=r"Nobody replies to price\.quote"):
        _ = kit.run(execute).result
    kit.events.answer("price.quote", lambda data: ord(data["item"]))
    assert kit.run(execute).result == [97, 98]


def test_a_subscription_brings_what_it_may(kit):
    plugin = Plugin()

    @plugin.task
    async def execute(events: Events) -> List[List[str]]:
        with events.subscribe("track.**") as subscription:
            found = [event.topic for event in subscription]
        return [found, [event.topic async for event in events.subscribe("track.playing")]]

    for topic in ("track.playing", "track.a.b", "other"):
        kit.events.put(topic)
    kit.grant("events.subscribe:track.**")
    assert kit.run(execute).result == [["track.playing", "track.a.b"], ["track.playing"]]
    kit.deny("events.subscribe:track.a.*")
    assert kit.run(execute).result == [["track.playing"], ["track.playing"]]


def test_a_handler_is_called_as_a_task_is(kit):
    plugin = Plugin()

    @plugin.on_event("track.*")
    def played(play: Play, event: Event, ctx: Context, log: logging.Logger, events: Optional[Events]) -> None:
        log.info("%s by %s", play.track, event.source)
        assert events is not None  # it may hear some
        assert (ctx.event, ctx.trigger, ctx.execution) == (event, "track.playing", "")

    kit.grant("events.subscribe:track.*")
    run = kit.handle(played, "track.playing", Play("Halleluhwah", 1104), source="jukebox")
    assert run.result is None
    assert [line.message for line in run.logs] == ["Halleluhwah by jukebox"]
    with pytest.raises(MoorageError, match="track"):
        _ = kit.handle(played, "track.playing", {"seconds": 3}).result
    with pytest.raises(TypeError, match=r"handles no events of 'album\.new'"):
        kit.handle(played, "album.new")


async def test_a_handler_that_replies(kit):
    plugin = Plugin()

    @plugin.reply_to("price.quote")
    async def quote(event: Event) -> Play:
        return Play("quoted", event.data["n"] * 2)

    kit.grant("events.reply:price.*")
    assert (await kit.handle_async(quote, "price.quote", {"n": 2})).result == Play("quoted", 4)


def test_a_handler_is_called_with_what_its_plugin_may_hear(kit):
    plugin = Plugin()

    @plugin.on_event("track.*")
    def played(play: Play) -> str:
        return play.track

    @plugin.reply_to("price.quote")
    def quote() -> int:
        return 7

    run = kit.handle(played, "track.playing", Play("Clocks"))
    assert isinstance(run.error, CapabilityMissing)
    assert run.error.remedy == "moorage grant churn 'events.subscribe:track.playing'"
    kit.grant("events.subscribe:track.*")
    assert kit.handle(played, "track.playing", Play("Clocks")).error is None
    assert isinstance(kit.handle(quote, "price.quote").error, CapabilityMissing)
    assert [sentence.split(";")[0] for sentence in kit.denials] == [
        "churn lacks the capability events.subscribe:track.playing",
        "churn lacks the capability events.reply:price.quote",
    ]


def test_what_a_handler_raises_is_told_and_rolled_back(kit):
    plugin = Plugin()

    @plugin.on_event("track.playing")
    def played() -> None:
        raise ValueError("no")

    kit.grant("events.subscribe:track.playing")
    with pytest.raises(ValueError, match="no"):
        _ = kit.handle(played, "track.playing").result


def test_two_handlers_of_one_name_are_refused():
    plugin = Plugin()
    plugin.on_event("a")(lambda: None)
    with pytest.raises(ValueError, match="two handlers"):
        plugin.on_event("a")(lambda: None)


def test_a_handler_of_no_topic_does_not_load(kit):
    plugin = Plugin()

    @plugin.on_event("not a topic")
    def played() -> None: ...

    @plugin.task
    def execute() -> None: ...

    with pytest.raises(PluginInvalid, match="played: 'not a topic' is no topic"):
        _ = kit.run(execute).result
