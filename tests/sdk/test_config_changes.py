"""Settings that are changed while a plugin lives: new scopes have the new ones, running ones what they were given."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, List

import pytest

from moorage_proto import plugin_pb2, values
from moorage_proto.errors import CallError, Reason
from moorage_sdk import Plugin, PluginInvalid
from moorage_sdk.config import Config, ConfigChange, Settings

from .conftest import Call, answer


@dataclass
class Mine:
    greeting: str = "hello"
    retries: int = 3


class Client:
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting


def test_the_hook_and_what_begins_after_it_have_the_new_settings(kit):
    plugin = Plugin(settings=Mine)
    seen: List[object] = []

    @plugin.on_load
    def load(mine: Mine):
        seen.append(mine.greeting)

    @plugin.on_config_changed
    def changed(change: ConfigChange, mine: Mine, config: Config):
        seen.append((change.keys, change.before, change.after, mine, config["greeting"]))

    @plugin.task
    def execute(mine: Mine, other: Annotated[Mine, Settings]) -> str:
        assert mine is other
        return mine.greeting

    run = kit.run(execute, config={"greeting": "hi"}, config_change={"greeting": "ahoy"})
    assert run.result == "ahoy"
    assert seen == ["hi", (("greeting",), {"greeting": "hi"}, {"greeting": "ahoy"}, Mine("ahoy"), "ahoy")]


async def test_a_coroutine_may_be_the_hook(kit):
    plugin = Plugin(settings=Mine)

    @plugin.on_config_changed
    async def changed(mine: Mine):
        await asyncio.sleep(0)
        raise ValueError(f"no {mine.greeting} here")

    @plugin.task
    async def execute(mine: Mine) -> str:
        return mine.greeting

    run = await kit.run_async(execute, config_change={"greeting": "ahoy"})
    assert str(run.error) == "no ahoy here"


def test_settings_that_do_not_fit_the_class_are_refused(kit):
    plugin = Plugin(settings=Mine)

    @plugin.task
    def execute(mine: Mine) -> int:
        return mine.retries

    run = kit.run(execute, config_change={"retries": "many"})
    assert isinstance(run.error, PluginInvalid)
    assert "retries" in str(run.error)


def test_what_lives_as_long_as_the_plugin_keeps_what_it_was_made_with(kit):
    plugin = Plugin(settings=Mine)

    @plugin.provide(lifetime="plugin")
    def client(mine: Mine) -> Client:
        return Client(mine.greeting)

    @plugin.task
    def execute(client: Client, mine: Mine) -> List[str]:
        return [client.greeting, mine.greeting]

    assert kit.run(execute, config_change={"greeting": "ahoy"}).result == ["hello", "ahoy"]


def test_a_change_is_for_its_hook_alone(kit):
    plugin = Plugin()

    @plugin.task
    def execute(change: ConfigChange) -> None: ...

    assert "for on_config_changed alone" in str(kit.run(execute).error)


SOURCE = """
    import asyncio
    from dataclasses import dataclass
    from moorage_sdk import Plugin

    @dataclass
    class Mine:
        greeting: str = "hello"

    plugin = Plugin(settings=Mine)
    go = asyncio.Event()

    @plugin.task
    async def execute(mine: Mine) -> str:
        await go.wait()
        return mine.greeting

    @plugin.on_config_changed
    async def changed(mine: Mine):
        go.set()
        if mine.greeting == "no":
            raise ValueError("not that")
"""


def change(**config):
    return plugin_pb2.ChangeConfigRequest(config=values.record_to_wire(config), keys=sorted(config))


def run(execution):
    return plugin_pb2.RunRequest(task="execute", execution=execution, attempt=1, trigger="manual")


async def test_a_running_execution_keeps_what_it_was_given(runtime):
    made = runtime(SOURCE)
    await answer(made, "load", plugin_pb2.LoadRequest(config=values.record_to_wire({"greeting": "hi"})))
    running = Call("run", run("e-1"), scope="e-1")
    made.dispatch(running)
    await asyncio.sleep(0)

    assert plugin_pb2.ChangeConfigReply.FromString(await answer(made, "change_config", change(greeting="ahoy"))).told
    first = plugin_pb2.RunReply.FromString(await asyncio.wait_for(running.answer, 10))
    second = plugin_pb2.RunReply.FromString(await answer(made, "run", run("e-2")))
    assert [values.from_wire(reply.result) for reply in (first, second)] == ["hi", "ahoy"]


async def test_what_the_hook_raises_is_told_and_the_settings_are_the_new_ones(runtime):
    made = runtime(SOURCE)
    await answer(made, "load", plugin_pb2.LoadRequest())
    with pytest.raises(CallError, match="on_config_changed raised ValueError: not that") as refused:
        await answer(made, "change_config", change(greeting="no"))
    assert refused.value.reason == Reason.TASK_FAILED
    reply = plugin_pb2.RunReply.FromString(await answer(made, "run", run("e-1")))
    assert values.from_wire(reply.result) == "no"


async def test_settings_that_do_not_fit_leave_the_plugin_with_those_it_had(runtime):
    made = runtime(SOURCE)
    await answer(made, "load", plugin_pb2.LoadRequest(config=values.record_to_wire({"greeting": "hi"})))
    await answer(made, "change_config", change(greeting="ahoy"))
    with pytest.raises(CallError, match="settings do not fit"):
        await answer(made, "change_config", change(greeting=5))
    reply = plugin_pb2.RunReply.FromString(await answer(made, "run", run("e-1")))
    assert values.from_wire(reply.result) == "ahoy"


async def test_before_load_there_is_nothing_to_change(runtime):
    with pytest.raises(CallError, match="Load comes first"):
        await answer(runtime(SOURCE), "change_config", change(greeting="ahoy"))


async def test_a_plugin_without_a_hook_is_not_told_and_has_them_all_the_same(runtime):
    made = runtime("from moorage_sdk import Plugin\nplugin = Plugin()")
    await answer(made, "load", plugin_pb2.LoadRequest())
    reply = plugin_pb2.ChangeConfigReply.FromString(await answer(made, "change_config", change(greeting="ahoy")))
    assert not reply.told
