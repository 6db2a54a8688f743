"""State and version that one worker leaves to the next: what hooks are given, and what is said where it cannot be."""

from __future__ import annotations

import textwrap

import pytest

from moorage_proto import plugin_pb2, value_pb2, values
from moorage_proto.errors import CallError, Reason
from moorage_sdk import Handover, PluginInvalid
from moorage_sdk.testing import find_manifest
from moorage_sdk.testing.kit import Moorage

from .conftest import answer as call

SOURCE = """
    from typing import Optional
    from moorage_sdk import Handover, Plugin

    plugin = Plugin()
    seen = []

    @plugin.on_upgrade
    def upgrade(from_version: str) -> None:
        seen.append(f"upgraded from {from_version}")

    @plugin.on_load
    def load(handover: Optional[Handover]) -> None:
        seen.append("nothing" if handover is None else f"{handover.state} of {handover.from_version}")

    @plugin.task
    def told() -> list:
        return list(seen)

    @plugin.export_state
    async def export():
        return {"seen": len(seen), "by": (1, 2)}
"""


async def told(runtime):
    request = plugin_pb2.RunRequest(task="told", execution="e-1", input=values.to_wire(None))
    return values.from_wire(plugin_pb2.RunReply.FromString(await call(runtime, "run", request)).result)


STATE = values.to_wire({"n": 1})


@pytest.mark.parametrize(
    ("request_", "heard"),
    [
        (plugin_pb2.LoadRequest(version="2.0"), ["nothing"]),
        (plugin_pb2.LoadRequest(), ["nothing"]),
        (plugin_pb2.LoadRequest(version="2.0", from_version="2.0"), ["nothing"]),
        (plugin_pb2.LoadRequest(version="2.0", from_version="1.0"), ["upgraded from 1.0", "None of 1.0"]),
        (plugin_pb2.LoadRequest(version="2.0", from_version="2.0", state=STATE), ["{'n': 1} of 2.0"]),
        (
            plugin_pb2.LoadRequest(version="2.0", from_version="3.1", state=STATE),
            ["upgraded from 3.1", "{'n': 1} of 3.1"],
        ),
    ],
    ids=["first", "old host", "restart", "upgrade", "reload", "downgrade with state"],
)
async def test_what_the_worker_before_left_reaches_the_hooks(runtime, request_, heard):
    made = runtime(SOURCE)
    reply = plugin_pb2.LoadReply.FromString(await call(made, "load", request_))
    assert list(reply.hooks) == ["on_upgrade", "on_load", "export_state"]
    assert await told(made) == heard


async def test_what_is_exported_crosses_as_plain_values(runtime):
    made = runtime(SOURCE)
    await call(made, "load", plugin_pb2.LoadRequest())
    reply = plugin_pb2.ExportStateReply.FromString(await call(made, "export_state", plugin_pb2.ExportStateRequest()))
    assert values.from_wire(reply.state) == {"seen": 1, "by": [1, 2]}
    # Work goes on after it.
    assert await told(made) == ["nothing"]


@pytest.mark.parametrize("source", ["", "@plugin.export_state\n    def export() -> None: ..."])
async def test_a_plugin_may_hand_nothing_over(runtime, source):
    made = runtime(f"from moorage_sdk import Plugin\nplugin = Plugin()\n{textwrap.dedent('    ' + source)}\n")
    await call(made, "load", plugin_pb2.LoadRequest())
    reply = plugin_pb2.ExportStateReply.FromString(await call(made, "export_state", plugin_pb2.ExportStateRequest()))
    assert not reply.HasField("state")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('raise LookupError("no counters")', "export_state raised LookupError: no counters"),
        ("return object()", "the state: an object"),
    ],
)
async def test_an_export_that_fails_is_a_sentence(runtime, body, sentence):
    made = runtime(
        f"""
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.export_state
        def export():
            {body}
        """
    )
    await call(made, "load", plugin_pb2.LoadRequest())
    with pytest.raises(CallError) as raised:
        await call(made, "export_state", plugin_pb2.ExportStateRequest())
    assert sentence in str(raised.value)
    # METHOD_UNKNOWN would say that this SDK is too old for it.
    assert raised.value.reason == Reason.TASK_FAILED


async def test_an_upgrade_that_fails_keeps_the_version_from_starting(runtime):
    made = runtime(
        """
        from moorage_sdk import Handover, Plugin
        plugin = Plugin()

        @plugin.provide(lifetime="plugin")
        def table() -> dict:
            raise AssertionError("on_upgrade comes first")

        @plugin.on_upgrade
        def upgrade(handover: Handover) -> None:
            raise RuntimeError(f"cannot read the files of {handover.from_version}")
        """
    )
    with pytest.raises(CallError) as raised:
        await call(made, "load", plugin_pb2.LoadRequest(version="2", from_version="1"))
    assert raised.value.reason == Reason.LOAD_FAILED
    assert "cannot read the files of 1" in str(raised.value)


async def test_a_task_cannot_ask_for_it(runtime):
    made = runtime(
        """
        from moorage_sdk import Handover, Plugin
        plugin = Plugin()

        @plugin.task
        def execute(handover: Handover) -> None: ...
        """
    )
    with pytest.raises(PluginInvalid, match="take it in on_load or in a provider"):
        await call(made, "load", plugin_pb2.LoadRequest())


PROJECT = """
[project]
name = "counter"
version = "2.0"

[tool.moorage]
plugin = "counter_plugin:plugin"
"""

COUNTER = """
    from typing import List
    from moorage_sdk import Handover, Plugin

    plugin = Plugin()


    class Counter:
        def __init__(self, count: int) -> None:
            self.count = count


    @plugin.provide(lifetime="plugin")
    def counter(handover: Handover) -> Counter:
        return Counter((handover.state or {}).get("count", 0))

    @plugin.on_upgrade
    def upgrade(counter: Counter, from_version: str) -> None:
        counter.count += 100 if from_version == "1.0" else 0

    @plugin.task
    def execute(counter: Counter) -> int:
        counter.count += 1
        return counter.count

    @plugin.export_state
    def export(counter: Counter) -> dict:
        return {"count": counter.count}
"""


@pytest.fixture
def moorage(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "counter_plugin.py").write_text(textwrap.dedent(COUNTER))
    kit = Moorage(find_manifest(tmp_path))
    yield kit
    kit.close()


def test_the_testing_kit_hands_over(moorage):
    before = moorage.run(export_state=True)
    assert (before.result, before.state) == (1, {"count": 1})
    assert moorage.run().result == 1
    assert moorage.run(handover=Handover(before.state, from_version="2.0")).result == 2
    assert moorage.run(handover=Handover(before.state, from_version="1.0")).result == 102
    assert moorage.run().state is None


def test_the_testing_kit_lets_only_cross_what_crosses(moorage):
    with pytest.raises(Exception, match="cannot cross"):
        moorage.run(handover=Handover(object()))


def test_a_value_without_a_kind_is_not_taken_for_no_state():
    assert not plugin_pb2.ExportStateReply().HasField("state")
    assert plugin_pb2.ExportStateReply(state=value_pb2.Value()).HasField("state")
