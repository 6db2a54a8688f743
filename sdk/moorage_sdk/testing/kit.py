"""The object that the ``moorage`` fixture gives to a test."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, TypeVar, Union

from moorage_proto import capability, link_pb2, value_pb2, values
from moorage_proto.capability import EVENTS_REPLY, EXTENSIONS_IMPLEMENT, Capability, Grants
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.learning import Learnt, open_grants
from moorage_proto.typed.extension import Point, method_of
from moorage_proto.typed.fit import fitting
from moorage_sdk import channel, entry_points
from moorage_sdk import host as hosts
from moorage_sdk import scope as scopes
from moorage_sdk.errors import MoorageError, typed
from moorage_sdk.handlers import DeclaredHandler
from moorage_sdk.handover import Handover
from moorage_sdk.host import HostFacts, facts_from_welcome
from moorage_sdk.loaded import LoadedPlugin
from moorage_sdk.messages import Message
from moorage_sdk.plugin import PLUGIN_ATTRIBUTE, Plugin
from moorage_sdk.run import Run
from moorage_sdk.schema.containers import plain
from moorage_sdk.scope import Scope
from moorage_sdk.services import events
from moorage_sdk.services.log import HostHandler
from moorage_sdk.tasks import Task
from moorage_sdk.testing.base import Fake, FakeScope
from moorage_sdk.testing.channel import LocalChannel
from moorage_sdk.testing.config import FakeConfig
from moorage_sdk.testing.events import FakeEvents, matches
from moorage_sdk.testing.execution import FakeExecution
from moorage_sdk.testing.fakes import FAKES
from moorage_sdk.testing.gate import Gate
from moorage_sdk.testing.http import FakeHttp
from moorage_sdk.testing.kafka import FakeKafka
from moorage_sdk.testing.log import FakeLog, LogLine
from moorage_sdk.testing.manifest import TestedManifest
from moorage_sdk.testing.secrets import FakeSecrets
from moorage_sdk.testing.servicebus import FakeServiceBus
from moorage_sdk.testing.services import OwnServices, TypedFake
from moorage_sdk.testing.storage import FakeStorage

Outcome = TypeVar("Outcome")

_INCARNATION = "incarnation"


@dataclass(frozen=True)
class TaskRun:
    """What one run of a task came to."""

    value: Any
    #: What the task, or the commit after it, raised.
    error: Optional[BaseException]
    logs: Tuple[LogLine, ...]
    #: (fraction, message)
    progress: Tuple[Tuple[float, str], ...]
    #: What ``export_state`` returned after the task, where the test asked for it.
    state: Any = None

    @property
    def result(self) -> Any:
        """What the task returned, as it is after the way over the wire. Raises the task's error."""
        if self.error is not None:
            raise self.error
        return self.value


class Moorage:
    """Runs tasks in this process with fakes behind the real gate. Each run loads the plugin anew, as a worker would."""

    #: Of the fakes; the others are found by name as well: ``moorage.sql``.
    config: FakeConfig
    events: FakeEvents
    http: FakeHttp
    kafka: FakeKafka
    log: FakeLog
    servicebus: FakeServiceBus
    execution: FakeExecution
    secrets: FakeSecrets
    storage: FakeStorage

    def __init__(self, manifest: TestedManifest, *, learnt: Optional[Learnt] = None) -> None:
        """``learnt``: everything that the test does not deny is allowed, and noted there."""
        self.manifest = manifest
        self._fakes: Dict[str, Fake] = {fake.name: fake for fake in (make() for make in FAKES)}
        vars(self).update(self._fakes)
        self.config.update(manifest.config)
        self._gate = Gate(manifest.name, tuple(self._fakes.values()), learnt)
        #: Of the application: ``moorage.services.provide(Billing, FakeBilling())``.
        self.services = OwnServices(self._add)
        self._channel = LocalChannel(self._gate)
        self._set_grants(manifest.capabilities, ())
        self._numbers = itertools.count(1)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the testing kit has no fake named {name!r}; there are: {', '.join(self._fakes)}")

    @property
    def logs(self) -> List[LogLine]:
        """Everything logged during all runs so far."""
        return self.log.lines

    @property
    def denials(self) -> List[str]:
        """The sentences of all calls that were refused for want of a capability."""
        return self._gate.denials

    def grant(self, *capabilities: str) -> None:
        """Adds to the manifest's capabilities, for this test."""
        grants = self._gate.asked
        self._set_grants((*grants.allow, *map(capability.parse, capabilities)), grants.deny)

    def deny(self, *capabilities: str) -> None:
        """As an operator would: an optional one is then injected as None, and a deny beats every allow."""
        denied = tuple(map(capability.parse, capabilities))
        grants = self._gate.asked
        self._set_grants((right for right in grants.allow if right not in denied), (*grants.deny, *denied))

    def run(
        self,
        task: Union[str, Callable[..., Any]] = "execute",
        input: Any = None,  # noqa: A002 - the word that plugins use
        *,
        config: Optional[Mapping[str, Any]] = None,
        attempt: int = 1,
        trigger: str = "test",
        deadline: Optional[datetime] = None,
        handover: Optional[Handover] = None,
        export_state: bool = False,
        config_change: Optional[Mapping[str, Any]] = None,
    ) -> TaskRun:
        """Runs a task, by its function or its name, and commits or rolls back as the host would.

        ``input`` is what the host was given: plain values, an object of the input's class, or what a trigger brings, of
        ``moorage_sdk.messages``. ``config`` is laid over ``moorage.config`` and stays. ``handover`` is what the worker
        before left, as at a reload; ``on_upgrade`` runs where its ``from_version`` is not the project's.
        ``export_state`` asks for the plugin's state after the task: ``run.state``. ``config_change`` is laid over
        ``moorage.config`` once the plugin is loaded, as an operator does while it runs; ``on_config_changed`` is
        called, and the task begins after it. Never raises for a failing task: look at ``error``, or let ``result``
        raise it.
        """
        _refuse_inside_a_loop()
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(
                self.run_async(
                    task,
                    input,
                    config=config,
                    attempt=attempt,
                    trigger=trigger,
                    deadline=deadline,
                    handover=handover,
                    export_state=export_state,
                    config_change=config_change,
                )
            )
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def run_async(
        self,
        task: Union[str, Callable[..., Any]] = "execute",
        input: Any = None,  # noqa: A002 - the word that plugins use
        *,
        config: Optional[Mapping[str, Any]] = None,
        attempt: int = 1,
        trigger: str = "test",
        deadline: Optional[datetime] = None,
        handover: Optional[Handover] = None,
        export_state: bool = False,
        config_change: Optional[Mapping[str, Any]] = None,
    ) -> TaskRun:
        """As ``run``, for async tests."""
        self.config.update(config or {})
        plugin, name = self._find(task)
        execution = f"e-{next(self._numbers)}"
        scope = Scope(execution, execution=execution, attempt=attempt, trigger=trigger)

        def begin(loaded: LoadedPlugin) -> Run[value_pb2.Value]:
            return loaded.run(name, scope, _crossed(input), deadline, brought=isinstance(input, Message))

        return await self._play(
            plugin,
            scope,
            begin,
            lambda loaded, outcome: _value_of(loaded.tasks[name], outcome),
            handover=handover,
            export_state=export_state,
            config_change=config_change,
        )

    def handle(self, handler: Callable[..., Any], topic: str, data: Any = None, *, source: str = "") -> TaskRun:
        """Calls an event handler, given as its function, with an event, as if ``source`` had published it: the name of
        an installation; empty: the application. As ``run``; ``result`` is the reply of one that replies. Without the
        right to the topic, which the host asks for before it calls, ``error`` is a CapabilityMissing.
        """
        _refuse_inside_a_loop()
        return asyncio.run(self.handle_async(handler, topic, data, source=source))

    async def handle_async(
        self, handler: Callable[..., Any], topic: str, data: Any = None, *, source: str = ""
    ) -> TaskRun:
        """As ``handle``, for async tests."""
        plugin, declared = _handler_of(handler, topic)
        name, right = declared.name, EVENTS_REPLY if declared.replies else "events.subscribe"
        event = events.from_wire(self.events.event(topic, plain(data, "data"), source=source))
        scope = Scope(f"s-{next(self._numbers)}", trigger=topic)

        def begin(loaded: LoadedPlugin) -> Run[value_pb2.Value]:
            self._gate.require_call(right, topic, declared.topic)
            return loaded.handle(name, scope, event)

        return await self._play(
            plugin, scope, begin, lambda loaded, outcome: _value_of(loaded.handlers[name].task, outcome)
        )

    def call(self, method: Callable[..., Any], *arguments: Any) -> TaskRun:
        """Calls what the plugin implements of an extension point, ``moorage.call(Discount.discount, basket)``, as the
        host does: arguments and answer cross, and the contract's types are checked on both sides. As ``run``;
        ``result`` is the answer. Where the plugin does not implement the method, or another version of it, or lacks the
        right that the host asks for, ``error`` says so. ``method`` may also be a function under ``@plugin.implements``.
        """
        _refuse_inside_a_loop()
        return asyncio.run(self.call_async(method, *arguments))

    async def call_async(self, method: Callable[..., Any], *arguments: Any) -> TaskRun:
        """As ``call``, for async tests."""
        plugin, contract = self._extension(method)
        point, called = method_of(contract)
        request = called.request(called.bound(*arguments)).SerializeToString()
        scope = Scope(f"s-{next(self._numbers)}", trigger=f"{point.name}.{called.name}")

        def begin(loaded: LoadedPlugin) -> Run[bytes]:
            self._gate.require_call(EXTENSIONS_IMPLEMENT, point.name, point.name)
            return loaded.call(point.name, _version(loaded, point), called.name, scope, request)

        def answer(_: LoadedPlugin, outcome: bytes) -> Any:
            return called.result(called.method.reply.FromString(outcome))

        return await self._play(plugin, scope, begin, answer)

    def _extension(self, method: Callable[..., Any]) -> Tuple[Plugin, Callable[..., Any]]:
        """The plugin, and the contract's method."""
        plugin = getattr(method, PLUGIN_ATTRIBUTE, None)
        if isinstance(plugin, Plugin):
            for declared in plugin.extensions:
                if declared.implementation is method:
                    return plugin, declared.contract
        return entry_points.load(self.manifest.entry_point), method

    async def _play(
        self,
        plugin: Plugin,
        scope: Scope,
        begin: Callable[[LoadedPlugin], Run[Outcome]],
        read: Callable[[LoadedPlugin, Outcome], Any],
        *,
        handover: Optional[Handover] = None,
        export_state: bool = False,
        config_change: Optional[Mapping[str, Any]] = None,
    ) -> TaskRun:
        first_line, first_report = len(self.log.lines), len(self.execution.reports)
        value: Any = None
        state: Any = None
        error: Optional[BaseException] = None
        with self._host() as handler:
            loaded = LoadedPlugin(
                plugin,
                channel=self._channel,
                host=facts_from_welcome(self._welcome()),
                config=copy.deepcopy(self.config.settings),
                flush=handler.flush_async,
                handover=_crossed_handover(handover),
                version=self.manifest.version,
            )
            try:
                await loaded.load()
                if config_change is not None:
                    self.config.update(config_change)
                    await loaded.change_config(copy.deepcopy(self.config.settings), tuple(sorted(config_change)))
                outcome = await self._outcome(scope, lambda: begin(loaded))
                value = read(loaded, outcome)
                if export_state:
                    state = _received(await loaded.export_state())
            except Exception as raised:  # noqa: BLE001 - the test is told in TaskRun.error
                error = _as_plugin_sees(raised)
            finally:
                await loaded.unload()
        reports = self.execution.reports[first_report:]
        return TaskRun(
            value,
            error,
            tuple(self.log.lines[first_line:]),
            tuple((fraction, message) for _, fraction, message in reports),
            state,
        )

    def _add(self, fake: Fake) -> None:
        """One that has a name among the kit's own is found under it."""
        if not isinstance(fake, TypedFake):
            if fake.name in vars(self) or hasattr(type(self), fake.name):
                raise ValueError(f"there is a moorage.{fake.name}; name the fake otherwise")
            vars(self)[fake.name] = fake
        self._fakes[fake.contract.full_name] = fake
        self._gate.add(fake)

    def close(self) -> None:
        for fake in self._fakes.values():
            fake.close()

    async def _outcome(self, scope: Scope, begin: Callable[[], Run[Outcome]]) -> Outcome:
        held = self._gate.scopes[scope.id] = FakeScope(scope.id, scope.execution)
        try:
            outcome = await begin().outcome()
        except BaseException:
            held.end(success=False)
            raise
        held.end(success=True)
        return outcome

    def _find(self, task: Union[str, Callable[..., Any]]) -> Tuple[Plugin, str]:
        if isinstance(task, str):
            return entry_points.load(self.manifest.entry_point), task
        plugin = getattr(task, PLUGIN_ATTRIBUTE, None)
        if not isinstance(plugin, Plugin):
            raise TypeError(f"{task!r} is no task; name one, or give a function under @plugin.task")
        return plugin, next(name for name, function in plugin.tasks.items() if function is task)

    @contextlib.contextmanager
    def _host(self) -> Iterator[HostHandler]:
        """What surrounds plugin code in a worker: the channel, the incarnation's scope, the log."""
        incarnation = Scope(_INCARNATION)
        held = self._gate.scopes[_INCARNATION] = FakeScope(_INCARNATION)
        before = scopes.incarnation()
        handler = HostHandler(self._channel)
        root = logging.getLogger()
        level = root.level
        channel.install(self._channel)
        hosts.install(facts_from_welcome(self._welcome()))
        scopes.set_incarnation(incarnation)
        root.addHandler(handler)
        root.setLevel(min(level, logging.INFO))
        try:
            yield handler
            held.end(success=True)
        finally:
            held.end(success=False)
            root.setLevel(level)
            root.removeHandler(handler)
            scopes.set_incarnation(before)
            hosts.install(HostFacts(""))
            channel.install(None)

    def _welcome(self) -> link_pb2.Welcome:
        welcome = link_pb2.Welcome(
            installation=self.manifest.name,
            incarnation_number=1,
            incarnation_scope=_INCARNATION,
            capabilities=[str(right) for right in self._gate.grants.allow],
        )
        for fake in self._fakes.values():
            fake.describe(welcome)
        return welcome

    def _set_grants(self, allow: Iterable[Capability], deny: Tuple[Capability, ...]) -> None:
        grants = Grants(tuple(dict.fromkeys(allow)), deny, self._gate.grants.epoch + 1)
        self._gate.asked = grants
        self._gate.grants = grants if self._gate.learnt is None else open_grants(grants, self._gate.verbs)


def _handler_of(function: Callable[..., Any], topic: str) -> Tuple[Plugin, DeclaredHandler]:
    plugin = getattr(function, PLUGIN_ATTRIBUTE, None)
    if isinstance(plugin, Plugin):
        for declared in plugin.handlers:
            if declared.function is function and matches(declared.topic, topic):
                return plugin, declared
    raise TypeError(f"{function!r} handles no events of {topic!r}; give a function under @plugin.on_event")


def _value_of(task: Task, outcome: value_pb2.Value) -> Any:
    return task.result.read(values.from_wire(outcome), "the result")


def _version(loaded: LoadedPlugin, point: Point) -> int:
    """Of what the plugin implements, that which the host would call. Raises CallError."""
    problem = f"The plugin implements nothing of {point.name}; write @plugin.implements."
    for name, version in sorted(loaded.extensions, reverse=True):
        if name == point.name:
            found = fitting(point, version, loaded.extensions[name, version].point.contract.file)
            if found.methods:
                return version
            problem = found.sentence
    raise CallError(Status.NOT_FOUND, Reason.TASK_UNKNOWN, problem)


def _crossed(value: Any) -> Any:
    """The input as the plugin is given it: over the wire, as everything that a host was handed."""
    return values.from_wire(values.to_wire(plain(value, "input")))


def _crossed_handover(handover: Optional[Handover]) -> Optional[Handover]:
    return None if handover is None else replace(handover, state=_crossed(handover.state))


def _received(state: Optional[value_pb2.Value]) -> Any:
    return None if state is None else values.from_wire(state)


def _as_plugin_sees(raised: Exception) -> BaseException:
    """What the task itself raised, where it did."""
    if not isinstance(raised, CallError) or isinstance(raised, MoorageError):
        return raised
    if raised.reason == Reason.TASK_FAILED and raised.__cause__ is not None:
        return raised.__cause__
    return typed(raised)


def _refuse_inside_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("an event loop runs in this test already; write: await moorage.run_async(...)")
