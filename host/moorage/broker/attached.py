"""One worker's link, as the supervisor sees it: messages in, messages out."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from google.protobuf.message import Message

from moorage.broker import outcome
from moorage.broker.broker import Broker
from moorage.broker.declared import read_declared
from moorage.broker.link_state import Identity
from moorage.broker.listener import Listener
from moorage.broker.scope import ScopeKind
from moorage.broker.services.events.hub import MAX_DATA_BYTES
from moorage.broker.services.events.wire import event_to_wire
from moorage.models.attachment import Attachment, Health, Holding, Peer
from moorage.models.contributions import Contributions
from moorage.models.event import PluginEvent
from moorage.models.execution import Execution, ExecutionState, ResourceUse, TaskOutcome
from moorage.models.extensions import ExtensionCall
from moorage.models.levels import WorkerLevels
from moorage.telemetry.trace import new_traceparent
from moorage_proto import link_pb2, plugin_pb2, value_pb2, values
from moorage_proto.capability import Capability, Grants
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link import Link, OutgoingCall
from moorage_proto.methods import service_methods

#: How long a plugin's task may go on after it was cancelled or its time has run out.
GRACE = timedelta(seconds=5)

#: Results of more values are read in a thread, lest they hold up the other links.
SMALL_RESULT_PARTS = 1000

_PLUGIN = service_methods(plugin_pb2, "PluginService")


class AttachedLink:
    """Made by the shard (``shard.py``). Its scopes, its link and its socket end with ``end``."""

    def __init__(
        self,
        broker: Broker,
        attachment: Attachment,
        welcome: link_pb2.Welcome,
        on_refused: Callable[[CallError], None],
        *,
        run_deadlines: bool = True,
    ) -> None:
        """``run_deadlines`` False: the orchestrator's timeout alone counts, which can stand still at a breakpoint."""
        self._scope = attachment.incarnation
        self._run_deadlines = run_deadlines
        identity = Identity(attachment.installation, attachment.incarnation, attachment.number)
        self._session = broker.connect(identity, attachment.grants, attachment.limits)
        self._session.open_scope(ScopeKind.INCARNATION, self._scope)
        self._listener = Listener(
            attachment.socket_path,
            attachment.token,
            lambda _hello: welcome,
            self._session.dispatch,
            on_refused,
            socket_uid=attachment.socket_uid,
            name=attachment.incarnation,
            pace=self._session.share,
        )
        loop = asyncio.get_running_loop()
        self._linked: asyncio.Future[Link] = loop.create_future()
        self._tainted: asyncio.Future[str] = loop.create_future()
        #: Each waits for one call that is over for the host to stop in the worker.
        self._stopping: set[asyncio.Task[None]] = set()
        self._handled = itertools.count(1)
        #: By execution, of those that have ended, until somebody asks.
        self._spent: dict[str, ResourceUse] = {}

    @property
    def calls(self) -> int:
        return self._session.calls

    @property
    def denied(self) -> int:
        return self._session.denied

    def uses(self, need: Capability) -> bool:
        return self._session.uses(need)

    def holdings(self) -> tuple[Holding, ...]:
        return self._session.holdings()

    async def listen(self) -> None:
        await self._listener.start()

    async def connected(self, timeout: timedelta) -> Peer:
        link = await self._listener.connected(timeout.total_seconds())
        self._linked.set_result(link)
        hello = self._listener.hello
        return Peer(hello.protobuf_version, hello.grpcio_version)

    async def load(
        self, config: Mapping[str, Any], *, version: str = "", state: bytes | None = None, from_version: str = ""
    ) -> Contributions:
        link = await self._link()
        request = plugin_pb2.LoadRequest(
            config=values.record_to_wire(config),
            version=version,
            state=None if state is None else value_pb2.Value.FromString(state),
            from_version=from_version,
        )
        reply = await link.call(_PLUGIN["load"], request, scope=self._scope, traceparent=new_traceparent())
        # In a thread: reading large schemas takes time.
        return await asyncio.to_thread(read_declared, reply)

    async def serve_net(self, listener: socket.socket) -> None:
        await self._session.serve_net(listener)

    async def run(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        """The task returns, the host commits, and only then it has succeeded."""
        work = partial(self._run, execution, timeout)
        return await self._in_scope(ScopeKind.EXECUTION, execution.id, work, execution=execution.id)

    async def handle(self, handler: str, event: PluginEvent, timeout: timedelta) -> TaskOutcome:
        """As ``run``: the scope's work is committed when the handler has returned."""
        scope = f"{self._scope}/{event.id}/{next(self._handled)}"
        return await self._in_scope(ScopeKind.EVENT, scope, partial(self._handle, scope, handler, event, timeout))

    async def call_extension(self, call: ExtensionCall, timeout: timedelta) -> TaskOutcome:
        """As ``handle``; the result is the method's reply message, in bytes that nobody has looked into."""
        scope = f"{self._scope}/{call.point}/{next(self._handled)}"
        return await self._in_scope(ScopeKind.EXTENSION, scope, partial(self._call_extension, scope, call, timeout))

    async def _in_scope(
        self, kind: ScopeKind, scope: str, work: Callable[[], Awaitable[TaskOutcome]], *, execution: str = ""
    ) -> TaskOutcome:
        try:
            opened = self._session.open_scope(kind, scope, execution=execution)
        except CallError as ended:
            # The worker died between being chosen and being asked.
            return outcome.from_error(ended)
        result = TaskOutcome(ExecutionState.CANCELLED)
        try:
            result = await work()
        finally:
            try:
                result = await self._close_scope(scope, result)
            finally:
                if execution:
                    self._spent[execution] = ResourceUse(calls=opened.calls, denied=opened.denied, bytes=opened.bytes)
        return result

    def spent(self, execution: str) -> ResourceUse | None:
        return self._spent.pop(execution, None)

    async def change_config(self, config: Mapping[str, Any], keys: Sequence[str], timeout: timedelta) -> bool:
        link = await self._link()
        request = plugin_pb2.ChangeConfigRequest(config=values.record_to_wire(config), keys=keys)
        seconds = timeout.total_seconds()
        reply = await link.call(_PLUGIN["change_config"], request, scope=self._scope, timeout=seconds)
        return bool(reply.told)

    async def set_log_levels(self, levels: WorkerLevels, timeout: timedelta) -> None:
        link = await self._link()
        request = plugin_pb2.SetLogLevelsRequest(level=levels.level, loggers=levels.loggers)
        await link.call(_PLUGIN["set_log_levels"], request, scope=self._scope, timeout=timeout.total_seconds())

    async def health(self, timeout: timedelta) -> Health:
        link = await self._link()
        request = plugin_pb2.HealthRequest()
        reply = await link.call(_PLUGIN["health"], request, scope=self._scope, timeout=timeout.total_seconds())
        return Health(reply.healthy, reply.message)

    async def ping(self, timeout: timedelta) -> float:
        link = await self._link()
        return await link.ping(timeout.total_seconds())

    async def export_state(self, timeout: timedelta) -> bytes | None:
        link = await self._link()
        request = plugin_pb2.ExportStateRequest()
        try:
            reply = await link.call(
                _PLUGIN["export_state"], request, scope=self._scope, timeout=timeout.total_seconds()
            )
        except CallError as error:
            if error.reason == Reason.METHOD_UNKNOWN:
                # An SDK from before there was anything to hand over.
                return None
            raise
        return reply.state.SerializeToString() if reply.HasField("state") else None

    async def streams_ended(self, timeout: timedelta) -> None:
        await self._session.streams_ended(self._scope, timeout.total_seconds())

    async def unload(self, reason: str, timeout: timedelta) -> None:
        if not self._linked.done():
            return
        link = self._linked.result()
        request = plugin_pb2.UnloadRequest(reason=reason)
        try:
            await link.call(_PLUGIN["unload"], request, scope=self._scope, timeout=timeout.total_seconds())
        finally:
            await link.close(reason)

    def set_grants(self, grants: Grants) -> asyncio.Task[None]:
        return self._session.set_grants(grants)

    async def tainted(self) -> str:
        return await asyncio.shield(self._tainted)

    async def lost(self) -> CallError:
        link = await self._link()
        return await asyncio.shield(link.closed)

    async def end(self) -> None:
        self._linked.cancel()
        for stopping in self._stopping:
            stopping.cancel()
        try:
            await self._session.end()
        finally:
            await self._listener.close()

    async def _link(self) -> Link:
        return await asyncio.shield(self._linked)

    async def _run(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        link = await self._link()
        try:
            request = plugin_pb2.RunRequest(
                task=execution.task,
                execution=execution.id,
                attempt=execution.attempt,
                trigger=execution.trigger,
                input=values.to_wire(execution.input),
                # A person's retry is given again what the trigger brought.
                input_brought=bool(execution.trigger_id or execution.retry_of),
            )
            reply = await self._call(link, "run", request, execution.id, timeout)
            return TaskOutcome(ExecutionState.SUCCEEDED, result=await _read(reply.result))
        except CallError as error:
            return outcome.from_error(error)
        except values.ValueInvalid as error:
            return outcome.from_error(_cannot_cross(error))

    async def _handle(self, scope: str, handler: str, event: PluginEvent, timeout: timedelta) -> TaskOutcome:
        link = await self._link()
        try:
            request = plugin_pb2.HandleEventRequest(handler=handler, event=event_to_wire(event))
            reply = await self._call(link, "handle_event", request, scope, timeout)
            result = _read_reply(reply.reply) if reply.HasField("reply") else None
            return TaskOutcome(ExecutionState.SUCCEEDED, result=result)
        except CallError as error:
            return outcome.from_error(error)
        except values.ValueInvalid as error:
            return outcome.from_error(_cannot_cross(error))

    async def _call_extension(self, scope: str, call: ExtensionCall, timeout: timedelta) -> TaskOutcome:
        link = await self._link()
        request = plugin_pb2.CallExtensionRequest(
            point=call.point, version=call.version, method=call.method, arguments=call.arguments
        )
        try:
            reply = await self._call(link, "call_extension", request, scope, timeout)
            return TaskOutcome(ExecutionState.SUCCEEDED, result=reply.answer)
        except CallError as error:
            return outcome.from_error(error)

    async def _call(self, link: Link, method: str, request: Message, scope: str, timeout: timedelta) -> Any:
        """Of plugin code, which may go on after the call is over."""
        call: OutgoingCall[Any, Any] = link.open(
            _PLUGIN[method],
            request,
            scope=scope,
            timeout=timeout.total_seconds() if self._run_deadlines else None,
            traceparent=new_traceparent(),
        )
        try:
            return await call.result()
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            waiting = asyncio.create_task(self._stopped(link, call, scope), name=f"stop {scope}")
            self._stopping.add(waiting)
            waiting.add_done_callback(self._stopping.discard)

    async def _stopped(self, link: Link, call: OutgoingCall[Any, Any], execution: str) -> None:
        """Until the plugin's task has really stopped; one that goes on past the grace taints its worker."""
        ended = asyncio.ensure_future(call.ended())
        try:
            done, _ = await asyncio.wait(
                (ended, link.closed), timeout=GRACE.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
            if not done and not self._tainted.done():
                self._tainted.set_result(execution)
        finally:
            ended.cancel()

    async def _close_scope(self, scope: str, result: TaskOutcome) -> TaskOutcome:
        success = result.state is ExecutionState.SUCCEEDED
        closing = asyncio.ensure_future(self._session.close_scope(scope, success=success))
        while not closing.done():
            try:
                await asyncio.wait((closing,))
            except asyncio.CancelledError:
                # A commit that has begun goes on: what it comes to is the outcome, whoever does not want it any more.
                if not success:
                    raise
        try:
            closing.result()
        except CallError as error:
            return replace(outcome.from_error(error), state=ExecutionState.FAILED)
        return result


def _cannot_cross(error: values.ValueInvalid) -> CallError:
    sentence = f"A value cannot cross between host and task: {error}."
    return CallError(Status.INVALID_ARGUMENT, Reason.TASK_FAILED, sentence)


async def _read(result: value_pb2.Value) -> Any:
    # Not by its size in bytes: protobuf would encode it to tell.
    try:
        values.check_parts((result,), SMALL_RESULT_PARTS)
    except values.ValueInvalid:
        return await asyncio.to_thread(_read_large, result)
    values.check_result(result)
    return values.from_wire(result)


def _read_reply(reply: value_pb2.Value) -> Any:
    if (size := reply.ByteSize()) > MAX_DATA_BYTES:
        raise values.ValueInvalid(f"a reply takes at most {MAX_DATA_BYTES:,} bytes, and this one has {size:,}")
    return values.from_wire(reply)


def _read_large(result: value_pb2.Value) -> Any:
    values.check_parts((result,))
    values.check_result(result)
    return values.from_wire(result)
