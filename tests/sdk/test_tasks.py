import asyncio
import logging
import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest

from moorage_proto.errors import CallError, Reason
from moorage_sdk import Cancelled, Context, Plugin, channel, tracebacks
from moorage_sdk import scope as scopes
from moorage_sdk.host import HostFacts
from moorage_sdk.lifetime import Exited
from moorage_sdk.loaded import LoadedPlugin
from moorage_sdk.scope import Scope
from moorage_sdk.testing.base import FakeScope
from moorage_sdk.testing.channel import LocalChannel
from moorage_sdk.testing.gate import Gate


@dataclass
class Report:
    users: int


@pytest.fixture
async def load(kit):
    """Loads a plugin on the test's own loop, so that a test can cancel a run in the middle."""
    loaded = []

    async def flush():
        return None

    async def load(plugin):
        kit._gate.scopes["e-1"] = FakeScope("e-1", "e-1")
        one = LoadedPlugin(plugin, channel=kit._channel, host=HostFacts("churn"), config={}, flush=flush)
        await one.load()
        loaded.append(one)
        return one

    yield load
    for one in loaded:
        await one.unload()


SCOPE = Scope("e-1", execution="e-1", attempt=2, trigger="cron")


async def test_the_context(load):
    plugin = Plugin()

    @plugin.task(name="report")
    def anything(ctx: Context) -> list:
        assert ctx.deadline is not None
        assert timedelta(minutes=4) < ctx.remaining <= timedelta(minutes=5)
        ctx.raise_if_cancelled()
        return [ctx.installation, ctx.task, ctx.execution, ctx.attempt, ctx.trigger, ctx.cancelled]

    loaded = await load(plugin)
    deadline = datetime.now(timezone.utc) + timedelta(minutes=5)
    value = await loaded.run("report", SCOPE, None, deadline).outcome()
    found = [item.text or item.integer or item.boolean for item in value.list.values]
    assert found == ["churn", "report", "e-1", 2, "cron", False]


async def test_a_coroutine_is_cancelled(load):
    plugin = Plugin()
    started = asyncio.Event()
    seen = []

    @plugin.task
    async def execute() -> None:
        started.set()
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append("cleaned up")

    @plugin.on_error
    def on_error(error: Exception):
        seen.append("never called")

    loaded = await load(plugin)
    run = loaded.run("execute", SCOPE, None)
    outcome = asyncio.ensure_future(run.outcome())
    await asyncio.wait_for(started.wait(), 10)
    run.cancel()
    run.cancel()
    with pytest.raises(CallError, match="task 'execute' was cancelled") as caught:
        await asyncio.wait_for(outcome, 10)
    assert caught.value.reason == Reason.CANCELLED
    assert seen == ["cleaned up"]


@pytest.mark.parametrize("way", ["raise_if_cancelled", "return", "raise"])
async def test_sync_code_sees_that_it_is_cancelled(load, way):
    plugin = Plugin()
    started = threading.Event()

    @plugin.task
    def execute(ctx: Context) -> str:
        started.set()
        assert ctx.wait_cancelled(10)
        if way == "raise_if_cancelled":
            ctx.raise_if_cancelled()
        if way == "raise":
            raise LookupError("while cleaning up")
        return "finished all the same"

    loaded = await load(plugin)
    run = loaded.run("execute", SCOPE, None)
    outcome = asyncio.ensure_future(run.outcome())
    await asyncio.get_running_loop().run_in_executor(None, started.wait, 10)
    run.cancel()
    if way == "return":
        assert (await asyncio.wait_for(outcome, 10)).text == "finished all the same"
        return
    with pytest.raises(CallError) as caught:
        await asyncio.wait_for(outcome, 10)
    assert caught.value.reason == (Reason.CANCELLED if way == "raise_if_cancelled" else Reason.TASK_FAILED)


async def test_cancelled_before_it_began(load):
    plugin = Plugin()

    @plugin.task
    def execute() -> None:
        raise AssertionError("it must not run")

    run = (await load(plugin)).run("execute", SCOPE, None)
    run.cancel()
    with pytest.raises(CallError, match="was cancelled"):
        await run.outcome()


async def test_runs_side_by_side_keep_their_scopes(load, kit):
    plugin = Plugin()
    both = threading.Barrier(2)

    @plugin.task
    def sync_task() -> str:
        both.wait(10)
        return scopes.current().id

    @plugin.task
    async def async_task() -> str:
        await asyncio.sleep(0)
        return await asyncio.get_running_loop().run_in_executor(None, lambda: "x") and scopes.current().id

    loaded = await load(plugin)
    runs = [loaded.run(task, Scope(f"{task}-{n}"), None).outcome() for n in (1, 2) for task in loaded.tasks]
    found = [value.text for value in await asyncio.wait_for(asyncio.gather(*runs), 10)]
    assert found == ["sync_task-1", "async_task-1", "sync_task-2", "async_task-2"]


def raising(kit, function):
    plugin = Plugin()
    plugin.task(function)
    return kit.run(function).error


def test_whatever_a_task_raises_fails_it_only(kit):
    def leaves() -> None:
        sys.exit(3)

    async def leaves_too() -> None:
        raise KeyboardInterrupt

    async def gives_up() -> None:
        raise asyncio.CancelledError

    def stops() -> None:
        raise StopIteration

    assert str(raising(kit, leaves)).startswith("SystemExit(3) would end more than this")
    assert str(raising(kit, leaves_too)).startswith("KeyboardInterrupt() would end more")
    assert isinstance(raising(kit, gives_up), Cancelled)
    # Python itself turns it into a RuntimeError where it leaves a coroutine.
    assert isinstance(raising(kit, stops).__cause__, StopIteration)


def test_a_result_of_another_type_fails_the_task(kit):
    def execute() -> Report:
        return {"users": 1}

    def endless() -> list:
        circle: list = []
        circle.append(circle)
        return circle

    assert "the result: an object of type Report was wanted, a record was found" in str(raising(kit, execute))
    assert isinstance(raising(kit, endless), (RecursionError, ValueError))


def test_tracebacks_show_the_plugin_only(kit):
    from moorage_sdk import tracebacks

    def inner():
        raise LookupError("no users")

    async def execute() -> None:
        try:
            inner()
        except LookupError as error:
            raise RuntimeError("cannot report") from error

    text = tracebacks.of_plugin(raising(kit, execute))
    assert "moorage_sdk" not in text
    assert "asyncio" not in text
    assert text.index("LookupError: no users") < text.index("RuntimeError: cannot report")
    assert text.count("test_tasks.py") == 3


def test_an_exception_without_a_text_is_named(kit):
    from moorage_sdk import tracebacks

    class Mute(Exception):
        def __str__(self):
            raise ValueError

    assert tracebacks.message_of(Mute()) == "Mute: <its text raised ValueError>"
    assert tracebacks.message_of(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, (True, "")),
        (True, (True, "")),
        (False, (False, "")),
        ("", (True, "")),
        ("the index is old", (False, "the index is old")),
        (OSError("no disk"), (False, "OSError: no disk")),
    ],
)
async def test_health(load, answer, expected):
    plugin = Plugin()

    @plugin.health
    async def health(log: logging.Logger):
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await (await load(plugin)).health() == expected


async def test_a_failing_on_error_hides_nothing(load):
    plugin = Plugin()

    @plugin.task
    def execute() -> None:
        raise LookupError("no users")

    @plugin.on_error
    def on_error(error: Exception):
        raise OSError("no disk")

    with pytest.raises(CallError, match="no users"):
        await (await load(plugin)).run("execute", SCOPE, None).outcome()


def test_progress_is_checked(kit):
    def execute(ctx: Context) -> None:
        ctx.progress(1.5)

    assert "progress goes from 0.0 to 1.0, 1.5 was reported" in str(raising(kit, execute))
    plugin = Plugin()

    @plugin.on_load
    def load(ctx: Context):
        ctx.progress(0.5)

    @plugin.task
    def nothing() -> None: ...

    assert "progress belongs to an execution" in str(kit.run(nothing).error)


def test_progress_from_a_coroutine(kit):
    plugin = Plugin()

    @plugin.task
    async def execute(ctx: Context) -> None:
        for step in range(1, 5):
            ctx.progress(step / 4, f"step {step}")

    assert kit.run(execute).progress[-1] == (1.0, "step 4")


def test_declarations_that_cannot_be_right():
    plugin = Plugin()

    @plugin.task
    def execute(): ...

    with pytest.raises(ValueError, match="there are two tasks named 'execute'; name one otherwise"):
        plugin.task(name="execute")(lambda: None)
    with pytest.raises(TypeError, match="a task is a function, int is none"):
        plugin.task(5)
    with pytest.raises(TypeError, match="returns its result, 'numbers' yields; collect into a list"):

        @plugin.task
        def numbers():
            yield 1

    plugin.on_load(execute)
    with pytest.raises(ValueError, match="there are two on_load hooks"):
        plugin.on_load(execute)
    with pytest.raises(ValueError, match='lifetime is "plugin" or "scope", not \'for ever\''):
        plugin.provide(lifetime="for ever")
    with pytest.raises(TypeError, match="a provider is a function"):
        plugin.provide(5)


def test_outside_a_worker_there_is_no_host():
    with pytest.raises(RuntimeError, match="there is no host here"):
        channel.current()


def test_the_gate_refuses_scopes_that_ended(kit):
    from moorage_proto import execution_pb2
    from moorage_proto.methods import service_methods
    from moorage_sdk import ScopeClosed

    method = service_methods(execution_pb2, "ExecutionService")["report_progress"]
    with pytest.raises(ScopeClosed, match="the scope '' has ended"):
        LocalChannel(Gate("churn", ())).call(method, execution_pb2.ReportProgressRequest())


class NotAnException(BaseException):
    """As pytest's own outcomes are, and trio's cancellation."""


@pytest.mark.parametrize("error", [NotAnException("gone"), GeneratorExit("gone"), SystemExit("gone")])
@pytest.mark.parametrize("is_async", [False, True])
async def test_what_is_no_exception_fails_the_execution_too(load, error, is_async):
    plugin = Plugin()

    def execute() -> None:
        raise error

    async def execute_async() -> None:
        raise error

    plugin.task(name="execute")(execute_async if is_async else execute)

    with pytest.raises(CallError, match=rf"{type(error).__name__}\(gone\) would end more than this"):
        await (await load(plugin)).run("execute", SCOPE, None).outcome()


def test_half_a_surrogate_pair_in_an_error_is_told_in_what_can_be_sent():
    error = ValueError("half \ud83d")

    assert tracebacks.message_of(error) == "ValueError: half \\ud83d"
    assert "half \\ud83d" in tracebacks.failure_of(error).traceback


@pytest.mark.parametrize("hook", ["on_load", "on_unload", "on_error", "health"])
async def test_a_hook_that_exits_fails_like_any_other(kit, hook):
    plugin = Plugin()

    @plugin.task
    def execute() -> None:
        raise LookupError("no users")

    async def leave() -> None:
        sys.exit(3)

    getattr(plugin, hook)(leave)

    async def flush():
        return None

    loaded = LoadedPlugin(plugin, channel=kit._channel, host=HostFacts("churn"), config={}, flush=flush)
    if hook == "on_load":
        with pytest.raises(Exited):
            await loaded.load()
        return
    await loaded.load()
    with pytest.raises(CallError, match="no users"):
        await loaded.run("execute", SCOPE, None).outcome()
    assert (await loaded.health())[0] is (hook != "health")
    if hook == "on_unload":
        with pytest.raises(Exited):
            await loaded.unload()
    else:
        await loaded.unload()
