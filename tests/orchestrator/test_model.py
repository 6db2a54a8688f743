"""Hosts that share a store do at random what hosts do, are killed, lose their leases: a model of plain lists says what
is queued, running and ended at every step, and in the end each accepted execution has one outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from moorage.errors import Conflict
from moorage.events.bus import EventBus
from moorage.events.events import DesiredChanged, ExecutionEnded
from moorage.models.execution import Execution, ExecutionError, ExecutionState, ResourceUse, TaskOutcome, WorkerFacts
from moorage.models.installation import DesiredState
from moorage.models.policy import RunPolicy
from moorage.orchestrator.errors import ExecutionOpen, RunsElsewhere
from moorage.orchestrator.orchestrator import Orchestrator
from moorage.orchestrator.triggers.base import NotNow
from moorage.store.errors import StoreClosed
from moorage.store.store import Store

from .conftest import FACTS, FakeClock, request

pytestmark = pytest.mark.timeout(300)

CONCURRENCY, QUEUE = 2, 3
POLICY = RunPolicy(concurrency=CONCURRENCY, queue=QUEUE, timeout=timedelta(days=9), backoff_first=timedelta(seconds=10))
#: Longer than any pause between two attempts.
LATER_SECONDS = 400
HOSTS = ("one", "two")
OUTCOMES = (ExecutionState.SUCCEEDED, ExecutionState.FAILED, ExecutionState.CRASHED, ExecutionState.REJECTED)


class World:
    """What the hosts share: workers that end when a test says so, and whether the installation may run."""

    def __init__(self) -> None:
        self.enabled = True
        self.committed: set[str] = set()
        #: By host and execution.
        self.running: dict[tuple[str, str], asyncio.Future[TaskOutcome]] = {}
        self.ran: Counter[tuple[str, int]] = Counter()
        self.busy = 0


class Workers:
    def __init__(self, world: World, host: str) -> None:
        self.world, self.host, self.dead = world, host, False

    @contextlib.asynccontextmanager
    async def session(self, _: str) -> AsyncIterator[Workers]:
        if self.dead:
            await asyncio.Event().wait()
        if not self.world.enabled:
            raise Conflict("churn does not run: it is disabled.")
        yield self

    facts: WorkerFacts = FACTS

    def use_of(self, _: str) -> ResourceUse:
        return ResourceUse(calls=1)

    async def run_task(self, execution: Execution, _: timedelta) -> TaskOutcome:
        key = (self.host, execution.id)
        assert key not in self.world.running
        self.world.ran[execution.id, execution.attempt] += 1
        ending = self.world.running[key] = asyncio.get_running_loop().create_future()
        try:
            return await ending
        finally:
            del self.world.running[key]


class Ids:
    """The same ones each time, so that a run can be repeated."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def next(self, _: datetime) -> str:
        return f"e-{next(self._numbers):04}"


@dataclass
class Host:
    """One life of a host."""

    store: Store
    workers: Workers
    orchestrator: Orchestrator
    leased: bool = True
    #: As the model has it: in the order of their turns; not due yet; running.
    line: list[str] = field(default_factory=list)
    later: set[str] = field(default_factory=set)
    running: list[str] = field(default_factory=list)
    paused: bool = False


@dataclass
class Known:
    """An execution, as the model has it."""

    id: str
    host: str
    patient: bool
    most: int
    key: str = ""
    state: ExecutionState = ExecutionState.QUEUED
    attempt: int = 1
    #: Of an ended one that was rejected, or cancelled, without ever being accepted.
    accepted: bool = True


class HostsAndAModel(RuleBasedStateMachine):
    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.world = World()
        self.events = EventBus()
        self.folder = tempfile.TemporaryDirectory(prefix="moorage-model-")
        self.path = Path(self.folder.name) / "moorage.db"
        self.hosts: dict[str, Host] = {}
        self.known: dict[str, Known] = {}
        self.ended: Counter[str] = Counter()
        self.ids = Ids()
        self.announced = self.events.subscribe(ExecutionEnded)

    # -- means ---------------------------------------------------------------------------------------------------

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def timed() -> Any:
            async with asyncio.timeout(20):
                try:
                    return await work
                finally:
                    await self.settle()

        return self.runner.run(timed())

    async def settle(self) -> None:
        """Until nothing happens any more that nobody pushes."""
        quiet = 0
        while quiet < 12:
            await asyncio.sleep(0 if self.world.busy == 0 else 0.0002)
            quiet = quiet + 1 if self.world.busy == 0 else 0

    async def open_host(self, name: str) -> None:
        store = Store(self.path)
        await store.open()
        database = store._database
        inside = database._run

        async def counted(*given: Any) -> Any:
            if workers.dead:
                raise StoreClosed
            self.world.busy += 1
            try:
                return await inside(*given)
            finally:
                self.world.busy -= 1

        database._run = counted  # type: ignore[method-assign]
        workers = Workers(self.world, name)

        async def committed(execution: str) -> bool:
            return execution in self.world.committed

        orchestrator = Orchestrator(
            store, workers, self.events, clock=self.clock, host=name, policy_of=lambda _: POLICY, committed=committed
        )
        orchestrator._admission.ids = self.ids  # type: ignore[assignment]
        self.hosts[name] = Host(store, workers, orchestrator)

    async def kill_host(self, name: str) -> None:
        """As the kernel does: nothing of it writes, or hears, anything any more."""
        host = self.hosts.pop(name)
        host.workers.dead = True
        orchestrator = host.orchestrator
        orchestrator._queues.silence()
        for job in orchestrator._queues.of():
            job.silence()
        works = orchestrator._dispatcher.conductor.works
        watching = {task for task in (orchestrator._hearing.task,) if task is not None}
        while tasks := {*orchestrator._tasks._tasks, *works._tasks, *watching}:
            for task in tasks:
                task.cancel()
            # Who records an outcome goes on trying; it is cancelled again.
            await asyncio.wait(tasks, timeout=0.001)
            watching = {task for task in watching if not task.done()}
        while self.world.busy:
            await asyncio.sleep(0)
        await host.store.close()

    # -- the model -----------------------------------------------------------------------------------------------

    def fill(self, name: str) -> None:
        """Lets begin whose turn it is."""
        host = self.hosts[name]
        while len(host.running) < CONCURRENCY:
            turn = next((each for each in host.line if not (host.paused and self.known[each].patient)), None)
            if turn is None:
                return
            known = self.known[turn]
            if not self.world.enabled and known.patient:
                host.paused = True
                continue
            host.line.remove(turn)
            if known.state.is_outcome:
                # Another host has cancelled it.
                continue
            if not self.world.enabled:
                self.end(turn, ExecutionState.REJECTED)
                continue
            known.state = ExecutionState.RUNNING
            host.running.append(turn)

    def end(self, execution: str, state: ExecutionState) -> None:
        known = self.known[execution]
        assert not known.state.is_outcome
        known.state = state

    def leaves(self, host: Host, execution: str) -> None:
        host.line = [each for each in host.line if each != execution]
        host.later.discard(execution)
        host.running = [each for each in host.running if each != execution]

    def again(self, host: Host, execution: str) -> None:
        known = self.known[execution]
        self.leaves(host, execution)
        known.attempt += 1
        known.state = ExecutionState.QUEUED
        host.later.add(execution)

    def inherited(self, name: str, of: str) -> None:
        """What the host takes up of another, or of its own former life."""
        host = self.hosts[name]
        rows = self.rows()
        for execution in sorted(self.known):
            known = self.known[execution]
            if known.host != of or known.state.is_outcome or execution in (*host.line, *host.later, *host.running):
                continue
            known.host = name
            if known.state is ExecutionState.QUEUED:
                due = rows[execution].due_at
                if due is not None and due > self.clock.now():
                    host.later.add(execution)
                else:
                    host.line.append(execution)
            elif execution in self.world.committed:
                self.end(execution, ExecutionState.SUCCEEDED)
            elif known.patient and known.attempt < known.most:
                self.again(host, execution)
            else:
                self.end(execution, ExecutionState.ABANDONED)
        self.fill(name)

    def rows(self) -> dict[str, Execution]:
        host = next(iter(self.hosts.values()), None)
        if host is None:
            return {}
        return {each.id: each for each in self.do(host.store.executions.list(limit=1_000))}

    def accepts(self, name: str, patient: bool) -> bool:
        host = self.hosts[name]
        free = max(0, CONCURRENCY - len(host.running))
        room = len(host.line) + len(host.later) < QUEUE + free
        return host.leased and self.world.enabled and not (patient and host.paused) and room

    # -- what happens --------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        shutil.copy(self.template, self.path)
        for name in HOSTS:
            self.do(self.open_host(name))

    up = precondition(lambda self: bool(self.hosts))

    def some_host(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.hosts)))

    @up
    @rule(
        data=st.data(),
        patient=st.booleans(),
        key=st.sampled_from(["", "", "red", "blue"]),
        most=st.integers(1, 3),
    )
    def submit(self, data: st.DataObject, patient: bool, key: str, most: int) -> None:
        name = self.some_host(data)
        before = next((each for each in self.known.values() if key and each.key == key), None)
        accepts = self.accepts(name, patient)
        asked = request(patient=patient, key=key, attempts=most)
        try:
            found = self.do(self.hosts[name].orchestrator.submit(asked))
        except NotNow:
            assert patient
            assert before is None
            assert not accepts
            return
        if before is not None:
            assert found.id == before.id
            return
        assert found.id not in self.known
        known = self.known[found.id] = Known(found.id, name, patient, most, key)
        if accepts:
            self.hosts[name].line.append(found.id)
            self.fill(name)
        else:
            assert not patient
            known.state, known.accepted = ExecutionState.REJECTED, False
            assert found.state is ExecutionState.REJECTED

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def worker_ends(self, data: st.DataObject, outcome: ExecutionState) -> None:
        name, execution = data.draw(st.sampled_from(sorted(self.world.running)))
        error = None if outcome is ExecutionState.SUCCEEDED else ExecutionError("some", "Reason.")

        async def end() -> None:
            self.world.running[name, execution].set_result(TaskOutcome(outcome, error=error))

        self.do(end())
        known, host = self.known[execution], self.hosts[name]
        self.leaves(host, execution)
        if outcome in (ExecutionState.FAILED, ExecutionState.CRASHED) and known.attempt < known.most:
            self.again(host, execution)
        else:
            self.end(execution, outcome)
        self.fill(name)

    @up
    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = self.some_host(data)
        known = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        host = self.hosts[name]
        mine = known.host == name and host.leased
        try:
            found = self.do(host.orchestrator.cancel(known.id, by="dana"))
        except RunsElsewhere:
            assert known.host != name
            assert known.state is ExecutionState.RUNNING
            return
        assert found.state.is_outcome
        if known.state.is_outcome:
            assert found.state is known.state
            # Another host may have cancelled it while it waits here; now it is seen.
            self.leaves(host, known.id)
            return
        assert mine or known.state is ExecutionState.QUEUED or known.host == name
        self.end(known.id, ExecutionState.CANCELLED)
        if mine:
            self.leaves(host, known.id)
            self.fill(name)

    @up
    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        name = self.some_host(data)
        before = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        accepts = self.accepts(name, patient=False)
        try:
            found = self.do(self.hosts[name].orchestrator.retry(before.id, by="dana"))
        except ExecutionOpen:
            assert not before.state.is_outcome
            return
        assert before.state.is_outcome
        assert found.retry_of == before.id
        known = self.known[found.id] = Known(found.id, name, False, before.most)
        if accepts:
            self.hosts[name].line.append(found.id)
            self.fill(name)
        else:
            known.state, known.accepted = ExecutionState.REJECTED, False

    @up
    @rule(enabled=st.booleans())
    def enable(self, enabled: bool) -> None:
        before, after = DesiredState(enabled=self.world.enabled), DesiredState(enabled=enabled)
        self.world.enabled = enabled

        async def change() -> None:
            await next(iter(self.hosts.values())).store.installations.set_desired("churn", after)
            self.events.announce(DesiredChanged("churn", before, after, "", "dana"))

        self.do(change())
        for name, host in self.hosts.items():
            host.paused = False
            self.fill(name)

    @rule()
    def time_passes(self) -> None:
        rows = self.rows()

        async def advance() -> None:
            self.clock.advance(seconds=LATER_SECONDS)

        self.do(advance())
        for name, host in self.hosts.items():
            # After a minute whoever could not run tries again.
            host.paused = False
            host.line += sorted(host.later, key=lambda each: rows[each].due_at or self.clock.now())
            host.later.clear()
            self.fill(name)

    @up
    @rule(data=st.data())
    def host_dies(self, data: st.DataObject) -> None:
        name = self.some_host(data)
        for execution in self.hosts[name].running:
            if data.draw(st.booleans()):
                self.world.committed.add(execution)
        self.do(self.kill_host(name))

    @precondition(lambda self: len(self.hosts) < len(HOSTS))
    @rule(data=st.data())
    def host_is_back(self, data: st.DataObject) -> None:
        self.come_back(data.draw(st.sampled_from([name for name in HOSTS if name not in self.hosts])))

    def come_back(self, name: str) -> None:
        async def come() -> None:
            await self.open_host(name)
            await self.hosts[name].orchestrator.recover()
            # What is judged in the background is queued before anything begins.
            await self.settle()
            self.hosts[name].orchestrator.resume()

        self.do(come())
        self.inherited(name, name)

    @precondition(lambda self: any(host.leased for host in self.hosts.values()))
    @rule(data=st.data())
    def another_takes_over(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(each for each, host in self.hosts.items() if host.leased)))
        other = next(each for each in HOSTS if each != name)
        if other in self.hosts and self.hosts[other].leased:
            return
        self.do(self.hosts[name].orchestrator.take_over([other]))
        self.inherited(name, other)

    @precondition(lambda self: any(host.leased for host in self.hosts.values()))
    @rule(data=st.data())
    def lease_is_lost(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(each for each, host in self.hosts.items() if host.leased)))

        async def lose() -> None:
            self.hosts[name].orchestrator.lease_lost()

        self.do(lose())
        host = self.hosts[name]
        host.leased = False
        host.line, host.later, host.running = [], set(), []

    @precondition(lambda self: any(not host.leased for host in self.hosts.values()))
    @rule()
    def lease_is_back(self) -> None:
        name = next(each for each, host in self.hosts.items() if not host.leased)
        self.do(self.hosts[name].orchestrator.lease_regained())
        self.hosts[name].leased = True
        self.inherited(name, name)

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def both_agree(self) -> None:
        rows = self.rows()
        if not self.hosts:
            return
        assert rows.keys() == self.known.keys()
        for execution, known in self.known.items():
            row = rows[execution]
            assert (row.state, row.attempt) == (known.state, known.attempt), execution
            assert known.state.is_outcome or row.host == known.host
        running = {(name, execution) for name, host in self.hosts.items() for execution in host.running}
        assert set(self.world.running) == running
        for name, host in self.hosts.items():
            assert len(host.running) <= CONCURRENCY
            open_ones = {each.id for each in host.orchestrator.open_ones()}
            assert open_ones == {*host.line, *host.later, *host.running}, name
        keys = [row.key for row in rows.values() if row.key]
        assert len(keys) == len(set(keys))
        assert not [run for run, times in self.world.ran.items() if times > 1]
        while self.announced.pending:
            event = self.do(self.announced.__anext__())
            self.ended[event.execution.id] += 1
        assert set(self.ended.values()) <= {1}

    def teardown(self) -> None:
        try:
            if self.path.exists():
                self.finish()
        finally:
            self.runner.close()
            self.folder.cleanup()

    def finish(self) -> None:
        """All hosts are back, and all may run: each accepted execution gets its outcome."""
        for name in HOSTS:
            if name not in self.hosts:
                self.come_back(name)
            elif not self.hosts[name].leased:
                self.do(self.hosts[name].orchestrator.lease_regained())
                self.hosts[name].leased = True
                self.inherited(name, name)
        self.enable(True)
        for _ in range(100):
            self.both_agree()
            if all(known.state.is_outcome for known in self.known.values()):
                break
            for name, execution in sorted(self.world.running):
                self.finish_one(name, execution)
            self.time_passes()
        assert all(known.state.is_outcome for known in self.known.values())
        self.attempts_are_whole()
        for name in HOSTS:
            self.do(self.kill_host(name))

    def finish_one(self, name: str, execution: str) -> None:
        async def end() -> None:
            self.world.running[name, execution].set_result(TaskOutcome(ExecutionState.SUCCEEDED))

        self.do(end())
        self.leaves(self.hosts[name], execution)
        self.end(execution, ExecutionState.SUCCEEDED)
        self.fill(name)

    def attempts_are_whole(self) -> None:
        store = self.hosts[HOSTS[0]].store
        for known in self.known.values():
            tried = self.do(store.attempts.list(known.id))
            numbers = [each.number for each in tried]
            expected = list(range(1, known.attempt + 1)) if known.attempt > 1 else []
            # What another host cancels while it waits for its next attempt has no last one.
            assert numbers in (expected, expected[:-1]), known
            assert known.attempt <= known.most


@pytest.fixture
def template(installed_store: Path) -> Path:
    return installed_store


def _machine(path: Path) -> type[HostsAndAModel]:
    return type("Hosts", (HostsAndAModel,), {"template": path})


def _run(path: Path, *, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        _machine(path),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_hosts_and_a_model_of_them_agree(template: Path) -> None:
    _run(template, examples=12, steps=15)


@pytest.mark.system
def test_hosts_and_a_model_of_them_agree_for_long(template: Path) -> None:
    _run(template, examples=150, steps=50)
