"""What cannot be loaded, and what is said of it, by the service that the host calls."""

import asyncio

import pytest

from moorage_proto import plugin_pb2, values
from moorage_proto.errors import CallError, Reason

from .conftest import answer


def load(runtime, **config):
    return answer(runtime, "load", plugin_pb2.LoadRequest(config=values.record_to_wire(config)))


LOAD_FAILURES = {
    "import error": ("import nothing_like_it", "importing 'churn_plugin' raised ModuleNotFoundError: No module named"),
    "own exception": (
        "raise RuntimeError('boom')",
        r"importing 'churn_plugin' raised RuntimeError: boom \(churn_plugin.py, line 1\)$",
    ),
    "deeper": (
        "import json\n\njson.loads('{')",
        r"importing 'churn_plugin' raised JSONDecodeError: .* \(churn_plugin.py, line 3\)$",
    ),
    "syntax": (
        "x = [",
        r"importing 'churn_plugin' raised SyntaxError: '\[' was never closed \(churn_plugin.py, line 1\)$",
    ),
    "exit": ("import sys; sys.exit(3)", "importing 'churn_plugin' raised SystemExit: 3"),
    "missing object": ("x = 1", "module 'churn_plugin' has no object 'plugin'; write plugin = Plugin()"),
    "other name": (
        "from moorage_sdk import Plugin\nchurn = Plugin()",
        r"has no object 'plugin'; \[tool.moorage\] plugin in pyproject.toml should say churn_plugin:churn",
    ),
    "wrong type": ("plugin = 'x'", "is of type str, and should be a moorage_sdk.Plugin"),
    "annotation": (
        "from moorage_sdk import Plugin\nplugin = Plugin()\n@plugin.task\ndef execute(when: complex): ...",
        "task 'execute': nothing can be injected for parameter 'when' annotated complex; what can be: "
        "moorage_sdk.Context",
    ),
    "on_load": (
        "from moorage_sdk import Plugin\nplugin = Plugin()\n@plugin.on_load\ndef start(): raise OSError('no disk')",
        "loading the plugin failed: OSError: no disk",
    ),
}


@pytest.mark.parametrize("case", LOAD_FAILURES)
async def test_what_cannot_be_loaded(runtime, case):
    source, sentence = LOAD_FAILURES[case]
    with pytest.raises(CallError, match=sentence) as caught:
        await load(runtime(source))
    assert caught.value.reason == Reason.LOAD_FAILED
    if caught.value.task is not None:
        assert "moorage_sdk" not in caught.value.task.traceback
        assert "import_module" not in caught.value.task.traceback
        assert "churn_plugin.py" in caught.value.task.traceback


@pytest.mark.parametrize(
    ("entry_point", "sentence"),
    [
        ("churn_plugin", "is not an entry point; write module:object"),
        ("churn.other:plugin", r"No module named 'churn'; check \[tool.moorage\] plugin"),
    ],
)
async def test_entry_points_that_lead_nowhere(runtime, entry_point, sentence):
    with pytest.raises(CallError, match=sentence):
        await load(runtime("", entry_point))


PLUGIN_WITH_TASK = """
    from typing import List
    from moorage_sdk import Plugin

    plugin = Plugin()


    @plugin.task
    def execute(input: List[int]) -> int:
        "Adds up.\\n\\nAt length."
        return sum(input)


    @plugin.task
    async def nothing() -> None: ...


    @plugin.on_unload
    def unload():
        raise OSError("no disk")
"""


async def test_what_loads_is_described(runtime):
    reply = plugin_pb2.LoadReply.FromString(await load(runtime(PLUGIN_WITH_TASK)))
    execute, nothing = reply.tasks
    assert (execute.name, execute.summary) == ("execute", "Adds up.")
    assert values.record_from_wire(execute.input_schema) == {"type": "array", "items": {"type": "integer"}}
    assert values.record_from_wire(execute.result_schema) == {"type": "integer"}
    assert not nothing.HasField("input_schema")
    assert values.record_from_wire(nothing.result_schema) == {"type": "null"}
    assert reply.hooks == ["on_unload"]


async def test_out_of_order_and_malformed_calls(runtime):
    one = runtime(PLUGIN_WITH_TASK)
    run = plugin_pb2.RunRequest(task="execute", input=values.to_wire([1, 2]))
    with pytest.raises(CallError, match="the plugin is not loaded; Load comes first, and once"):
        await answer(one, "run", run)
    await load(one)
    assert values.from_wire(plugin_pb2.RunReply.FromString(await answer(one, "run", run)).result) == 3
    with pytest.raises(CallError, match="loaded already"):
        await load(one)
    with pytest.raises(CallError, match=r"the request is not a /moorage\.v1\.PluginService/Run message"):
        await answer(one, "run", b"\xff\xff")
    with pytest.raises(CallError, match="the input cannot be read: a value of no kind arrived"):
        await answer(one, "run", plugin_pb2.RunRequest(task="execute", input={}))
    with pytest.raises(CallError, match=r"has no method '/moorage\.v2\.Plugin/Dance'") as caught:
        await answer(one, "/moorage.v2.Plugin/Dance", b"")
    assert caught.value.reason == Reason.METHOD_UNKNOWN


async def test_a_failing_on_unload_is_told_and_the_plugin_goes_all_the_same(runtime):
    one = runtime(PLUGIN_WITH_TASK)
    await load(one)
    with pytest.raises(CallError, match="on_unload raised OSError: no disk"):
        await answer(one, "unload", plugin_pb2.UnloadRequest(reason="stop"))
    await asyncio.wait_for(one.unloaded.wait(), 10)
    await answer(one, "unload", plugin_pb2.UnloadRequest(reason="stop"))
