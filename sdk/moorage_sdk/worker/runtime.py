"""PluginService as a worker serves it: calls arrive in the link's thread and are answered on the plugin's loop."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Any, Awaitable, Callable, Dict, Optional, Protocol, Set, Tuple, TypeVar

from google.protobuf.message import DecodeError, Message

from moorage_proto import plugin_pb2, value_pb2, values
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.methods import Method, service_methods
from moorage_sdk import entry_points, tracebacks
from moorage_sdk import host as hosts
from moorage_sdk.channel import Channel
from moorage_sdk.errors import PluginInvalid
from moorage_sdk.extensions import Extension
from moorage_sdk.handlers import Handler
from moorage_sdk.handover import Handover
from moorage_sdk.host import HostFacts
from moorage_sdk.loaded import Flush, LoadedPlugin
from moorage_sdk.run import Run
from moorage_sdk.scope import Scope
from moorage_sdk.services import events
from moorage_sdk.services.log import LogLevels
from moorage_sdk.tasks import Task

Result = TypeVar("Result")

#: Of a call's time, for the hook that it runs.
_HOOK_SHARE = 0.8

_METHODS = {method.path: method for method in service_methods(plugin_pb2, "PluginService").values()}


class IncomingCall(Protocol):
    """What the runtime needs of ``moorage_proto.link.IncomingCall``; touched in the link's thread only."""

    method: str
    request: bytes
    scope: str
    deadline: Optional[float]
    traceparent: str

    def reply(self, data: bytes) -> None: ...

    def fail(self, error: CallError) -> None: ...

    def on_cancel(self, callback: Callable[[], None]) -> None: ...


class Runtime:
    """Made on the plugin's event loop; only ``dispatch`` is called from the link's thread."""

    def __init__(
        self,
        entry_point: str,
        *,
        channel: Channel,
        flush: Flush,
        in_link_thread: Callable[..., Any],
    ) -> None:
        """``in_link_thread(function, *arguments)`` runs a function there, soon."""
        self._entry_point = entry_point
        self._channel = channel
        self._host = HostFacts("")
        self._flush = flush
        self._in_link_thread = in_link_thread
        self._loop = asyncio.get_running_loop()
        self._loaded: Optional[LoadedPlugin] = None
        self.levels = LogLevels()
        #: The health hook that runs, or ran last: one at a time, however often the host asks.
        self._asked: Optional[asyncio.Task[Tuple[bool, str]]] = None
        self._tasks: Set[asyncio.Task[None]] = set()
        #: Set when on_unload has run and its call is about to be answered.
        self.unloaded = asyncio.Event()
        self._handlers: Dict[str, Callable[[Any, Answer], Awaitable[Message]]] = {
            "load": self._load,
            "run": self._run,
            "handle_event": self._handle_event,
            "call_extension": self._call_extension,
            "change_config": self._change_config,
            "health": self._health,
            "export_state": self._export_state,
            "unload": self._unload,
        }

    def meet(self, host: HostFacts) -> None:
        """Before the loop takes the first call: what the host told when they met."""
        self._host = host
        hosts.install(host)

    def dispatch(self, call: IncomingCall) -> None:
        """The link's dispatcher. Never waits."""
        method = _METHODS.get(call.method)
        if method is None:
            call.fail(
                CallError(
                    Status.UNIMPLEMENTED,
                    Reason.METHOD_UNKNOWN,
                    f"this plugin's SDK has no method {call.method!r}; its own moorage-sdk may have to be upgraded",
                )
            )
            return
        if method.name == "set_log_levels":
            # Here, in the link's thread: a plugin that is stuck is looked into with more logging.
            self._set_log_levels(call)
            return
        answer = Answer(call, method)
        call.on_cancel(lambda: self._on_plugin_loop(answer.cancel))
        self._on_plugin_loop(lambda: self._begin(answer))

    def _on_plugin_loop(self, function: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(function)

    def _begin(self, answer: Answer) -> None:
        task = self._loop.create_task(self._answer(answer), name=f"moorage {answer.method.name} {answer.call.scope}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, answer: Answer) -> None:
        call = answer.call
        try:
            request = answer.method.request.FromString(call.request)
            reply = await self._handlers[answer.method.name](request, answer)
            data = reply.SerializeToString()
        except CallError as error:
            self._in_link_thread(call.fail, error)
        except DecodeError:
            problem = f"the request is not a {answer.method.path} message"
            self._in_link_thread(call.fail, CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, problem))
        except Exception as error:  # noqa: BLE001 - a bug of the SDK; the host must get its answer all the same
            problem = f"the SDK failed in {answer.method.path}: {tracebacks.message_of(error)}"
            failure = tracebacks.failure_of(error)
            self._in_link_thread(call.fail, CallError(Status.INTERNAL, Reason.INTERNAL, problem, task=failure))
        else:
            if answer.method.name == "unload":
                # Before the answer: the host may end the link as soon as it has it.
                self.unloaded.set()
            self._in_link_thread(call.reply, data)

    async def _load(self, request: plugin_pb2.LoadRequest, answer: Answer) -> plugin_pb2.LoadReply:  # noqa: ARG002 - loading is not cancelled: the process is ended
        if self._loaded is not None:
            raise _out_of_order("the plugin is loaded already")
        plugin = entry_points.load(self._entry_point)
        loaded = LoadedPlugin(
            plugin,
            channel=self._channel,
            host=self._host,
            config=values.record_from_wire(request.config),
            flush=self._flush,
            handover=_handover(request),
            version=request.version,
        )
        try:
            await loaded.load()
        except PluginInvalid:
            raise
        except Exception as error:
            raise _load_failed(error) from error
        finally:
            await self._flush()
        self._loaded = loaded
        return plugin_pb2.LoadReply(
            tasks=[_describe(task) for task in loaded.tasks.values()],
            hooks=loaded.hooks,
            handlers=[_describe_handler(handler) for handler in loaded.handlers.values()],
            extensions=[_describe_extension(extension) for extension in loaded.extensions.values()],
        )

    async def _run(self, request: plugin_pb2.RunRequest, answer: Answer) -> plugin_pb2.RunReply:
        call = answer.call
        scope = Scope(call.scope, call.traceparent, request.execution, request.attempt, request.trigger)
        run = self._ready().run(
            request.task, scope, _input(request), _instant(call.deadline), brought=request.input_brought
        )
        return plugin_pb2.RunReply(result=await _outcome(run, answer))

    async def _handle_event(
        self, request: plugin_pb2.HandleEventRequest, answer: Answer
    ) -> plugin_pb2.HandleEventReply:
        call, loaded = answer.call, self._ready()
        scope = Scope(call.scope, call.traceparent, trigger=request.event.topic)
        try:
            event = events.from_wire(request.event)
        except values.ValueInvalid as error:
            problem = f"the event's data cannot be read: {error}"
            raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, problem) from None
        result = await _outcome(loaded.handle(request.handler, scope, event, _instant(call.deadline)), answer)
        return plugin_pb2.HandleEventReply(reply=result if loaded.handlers[request.handler].replies else None)

    async def _call_extension(
        self, request: plugin_pb2.CallExtensionRequest, answer: Answer
    ) -> plugin_pb2.CallExtensionReply:
        call = answer.call
        scope = Scope(call.scope, call.traceparent, trigger=f"{request.point}.{request.method}")
        point, deadline = (request.point, request.version, request.method), _instant(call.deadline)
        run = self._ready().call(*point, scope, request.arguments, deadline)
        data = await _conducted(run, answer)
        return plugin_pb2.CallExtensionReply(answer=data)

    async def _change_config(
        self,
        request: plugin_pb2.ChangeConfigRequest,
        answer: Answer,  # noqa: ARG002 - what was begun is brought to its end
    ) -> plugin_pb2.ChangeConfigReply:
        loaded = self._ready()
        try:
            told = await loaded.change_config(values.record_from_wire(request.config), tuple(request.keys))
        except PluginInvalid:
            raise
        except Exception as error:
            problem = f"on_config_changed raised {tracebacks.message_of(error)}"
            failure = tracebacks.failure_of(error)
            raise CallError(Status.UNKNOWN, Reason.TASK_FAILED, problem, task=failure) from error
        return plugin_pb2.ChangeConfigReply(told=told)

    def _set_log_levels(self, call: IncomingCall) -> None:
        try:
            request = plugin_pb2.SetLogLevelsRequest.FromString(call.request)
        except DecodeError:
            problem = f"the request is not a {call.method} message"
            call.fail(CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, problem))
            return
        self.levels.apply(request.level, dict(request.loggers))
        call.reply(plugin_pb2.SetLogLevelsReply().SerializeToString())

    async def _health(self, request: plugin_pb2.HealthRequest, answer: Answer) -> plugin_pb2.HealthReply:  # noqa: ARG002 - nothing is asked but how it is
        """A hook that does not return is told before the host's patience ends: it must not look like a stuck loop."""
        if self._asked is None or self._asked.done():
            self._asked = self._loop.create_task(self._ready().health(), name="moorage health hook")
        await asyncio.wait((self._asked,), timeout=_patience(answer.call.deadline))
        if not self._asked.done():
            return plugin_pb2.HealthReply(healthy=False, message="its health hook does not return")
        healthy, message = self._asked.result()
        return plugin_pb2.HealthReply(healthy=healthy, message=message)

    async def _export_state(
        self,
        request: plugin_pb2.ExportStateRequest,  # noqa: ARG002 - there is nothing to ask for in particular
        answer: Answer,  # noqa: ARG002 - the host that no longer waits ignores the answer
    ) -> plugin_pb2.ExportStateReply:
        loaded = self._ready()
        try:
            return plugin_pb2.ExportStateReply(state=await loaded.export_state())
        except Exception as error:
            problem = f"export_state raised {tracebacks.message_of(error)}"
            failure = tracebacks.failure_of(error)
            raise CallError(Status.UNKNOWN, Reason.TASK_FAILED, problem, task=failure) from error

    async def _unload(self, request: plugin_pb2.UnloadRequest, answer: Answer) -> plugin_pb2.UnloadReply:  # noqa: ARG002 - every reason is treated alike
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return plugin_pb2.UnloadReply()
        try:
            await loaded.unload()
        except Exception as error:
            # The plugin goes all the same: a failing on_unload is told, not obeyed.
            self.unloaded.set()
            problem = f"on_unload raised {tracebacks.message_of(error)}"
            failure = tracebacks.failure_of(error)
            raise CallError(Status.UNKNOWN, Reason.TASK_FAILED, problem, task=failure) from error
        return plugin_pb2.UnloadReply()

    def _ready(self) -> LoadedPlugin:
        if self._loaded is None:
            raise _out_of_order("the plugin is not loaded")
        return self._loaded


class Answer:
    """One call while it is being answered."""

    def __init__(self, call: IncomingCall, method: Method[Any, Any]) -> None:
        self.call = call
        self.method = method
        self.run: Optional[Run[Any]] = None
        self.cancelled = False

    def cancel(self) -> None:
        """On the plugin's loop: the host no longer waits, or wants it to end."""
        self.cancelled = True
        if self.run is not None:
            self.run.cancel()


async def _conducted(run: Run[Result], answer: Answer) -> Result:
    """Raises CallError."""
    answer.run = run
    if answer.cancelled:
        run.cancel()
    return await run.outcome()


async def _outcome(run: Run[value_pb2.Value], answer: Answer) -> value_pb2.Value:
    """Raises CallError."""
    result = await _conducted(run, answer)
    try:
        values.check_result(result)
    except values.ValueInvalid as error:
        raise CallError(Status.INVALID_ARGUMENT, Reason.TASK_FAILED, f"{error}.") from None
    return result


def _describe_handler(handler: Handler) -> plugin_pb2.EventHandler:
    described = plugin_pb2.EventHandler(name=handler.name, topic=handler.topic, replies=handler.replies)
    if handler.data_schema is not None:
        described.data_schema.CopyFrom(values.record_to_wire(handler.data_schema))
    return described


def _describe_extension(extension: Extension) -> plugin_pb2.Extension:
    point = extension.point
    described = plugin_pb2.Extension(point=point.name, version=point.version, methods=extension.methods)
    described.contract.CopyFrom(point.contract.file)
    return described


def _describe(task: Task) -> plugin_pb2.Task:
    described = plugin_pb2.Task(
        name=task.name, summary=task.summary, result_schema=values.record_to_wire(task.result_schema)
    )
    if task.input_schema is not None:
        described.input_schema.CopyFrom(values.record_to_wire(task.input_schema))
    return described


def _input(request: plugin_pb2.RunRequest) -> Any:
    if not request.HasField("input"):
        return None
    try:
        return values.from_wire(request.input)
    except values.ValueInvalid as error:
        raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, f"the input cannot be read: {error}") from None


def _patience(deadline: Optional[float]) -> Optional[float]:
    """Seconds of the call's time that its hook may take; the rest is for the answer's way back."""
    return None if deadline is None else max(0.0, deadline - time.monotonic()) * _HOOK_SHARE


def _handover(request: plugin_pb2.LoadRequest) -> Optional[Handover]:
    """None: nothing was handed over, and the version is the one that was there before, or the first."""
    state = values.from_wire(request.state) if request.HasField("state") else None
    handover = Handover(state, request.from_version)
    return handover if state is not None or handover.is_upgrade(request.version) else None


def _instant(deadline: Optional[float]) -> Optional[datetime]:
    """The link's loop counts as ``time.monotonic``; people, and plugins, read clocks."""
    if deadline is None:
        return None
    return datetime.now(timezone.utc) + timedelta(seconds=deadline - time.monotonic())


def _load_failed(error: BaseException) -> CallError:
    message = f"loading the plugin failed: {tracebacks.message_of(error)}"
    return CallError(Status.FAILED_PRECONDITION, Reason.LOAD_FAILED, message, task=tracebacks.failure_of(error))


def _out_of_order(problem: str) -> CallError:
    return CallError(Status.FAILED_PRECONDITION, Reason.REQUEST_INVALID, f"{problem}; Load comes first, and once")
