"""The host's end of one zygote: its start, the requests to it, and what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import itertools
import json
import logging
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from moorage.models.incarnation import Verdict, VerdictKind
from moorage.supervisor.cgroups import opened_to_join
from moorage.supervisor.errors import SandboxFailed, WorkerLost
from moorage.supervisor.exits import verdict_of
from moorage.supervisor.first_process import FirstProcess, NotConfined, first_process_of
from moorage.supervisor.launcher import Admission
from moorage.supervisor.records import started
from moorage.supervisor.sandboxed import SandboxedWorker
from moorage_sandbox import boot, confine, evidence, image, judgement, plan, syscalls, wire
from moorage_sandbox.cgroup import Group
from moorage_sandbox.layers import layer_of, missing_layer
from moorage_sandbox.plan import WorkerPlan, ZygotePlan
from moorage_sandbox.report import SandboxReport, SeccompFacts, at_least
from moorage_sandbox.seccomp import Variant
from moorage_sandbox.setup import Failure

log = logging.getLogger(__name__)

#: struct ucred: pid, uid, gid.
_CREDENTIALS = struct.Struct("3i")
_INT = struct.Struct("i")
#: That come with a worker's word.
_MOST_DESCRIPTORS = 2
#: How long a zygote may take to leave after its socket was closed.
_LEAVE_SECONDS = 1.0
_LAST_WORD_SECONDS = 0.2
_STDERR_BYTES = 2000


class ZygoteProcess:
    """Made by ``boot_zygote``; ended by ``close``, by its own death, or by this process's."""

    def __init__(self, control: socket.socket, base: ZygotePlan, require: str) -> None:
        self._control = control
        self._base = base
        self._require = require
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        #: The zygote answers requests one by one; more would only fill the socket.
        self._turn = asyncio.Lock()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._ends: dict[int, asyncio.Future[int | None]] = {}
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self.pid = 0
        self._pidfd = -1
        self.closed = False
        self._loop.add_reader(control, self._on_readable)

    # -- requests ------------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Until it can fork. Raises SandboxFailed."""
        await asyncio.shield(self._ready)

    async def start(
        self,
        worker: WorkerPlan,
        record: bytes,
        stdout: int,
        stderr: int,
        note: Callable[[str], None] = log.info,
        admission: Admission | None = None,
    ) -> SandboxedWorker:
        """Returns when the worker is sealed, verified from outside, and let go.

        ``note`` is told, in a sentence for the plugin's log, what a worker under development was refused. Raises
        SandboxFailed. When cancelled, nothing of the worker is left.
        """
        if self.closed:
            raise self._lost_with_it()
        number = next(self._ids)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        end = self._ends[number] = self._loop.create_future()
        with ours:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            try:
                with theirs, _memory(plan.as_json(worker)) as plan_fd, _memory(record) as record_fd:
                    fds = [plan_fd, record_fd, stdout, stderr, theirs.fileno()]
                    async with self._turn:
                        await self._request(number, fds, admission.group if admission is not None else None)
                return await self._admit(ours, end, worker, note, admission)
            except BaseException:
                self._send({"kill": number})
                raise

    async def _request(self, number: int, fds: list[int], group: Group | None) -> None:
        if self.closed:
            # While it waited for its turn: nobody would answer.
            raise self._lost_with_it()
        answer = self._answers[number] = self._loop.create_future()
        try:
            with opened_to_join(group) as (unified, tasks):
                places = {"tasks": len(tasks), "unified": unified is not None}
                self._send({"start": number, **places}, [*fds, *tasks, *([] if unified is None else [unified])])
            await answer
        finally:
            self._answers.pop(number, None)

    async def _admit(
        self,
        status: socket.socket,
        end: asyncio.Future[int | None],
        planned: WorkerPlan,
        note: Callable[[str], None],
        admission: Admission | None,
    ) -> SandboxedWorker:
        """Waits for the seal, looks at the process from outside, and only then lets it go."""
        data, pid, fds = await _first_word(status, end)
        listener = proxy = -1
        sealed = False
        try:
            if not data:
                raise await self._lost_worker(end)
            if not data.startswith(b"{"):
                raise self._failed("bwrap", f"{await _rest(status, data)}.")
            message = wire.decode(data)
            if "failed" in message:
                raise SandboxFailed(layer_of(Failure(**message["failed"])), self._require)
            sealed = True
            listener, proxy = _told_apart(message["sealed"], fds)
            pidfd, report = self._look_at(pid, planned, message["sealed"]["landlock"], named=listener >= 0)
            with _closed_on_error(pidfd):
                if admission is not None:
                    await admission.admit(pid)
                first = self._first_process(pid, status) if planned.init else None
                if end.done():
                    # What the zygote has reaped was bwrap, to which the worker may not have been bound yet.
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    raise await self._lost_worker(end)
        except BaseException as error:
            for fd in fds:
                os.close(fd)
            if isinstance(error, (SandboxFailed, OSError)) and sealed and _is_gone(pid, error):
                # Whatever could not be read or done: it was gone, and how it went is the better story.
                raise await self._lost_worker(end) from error
            raise
        worker = SandboxedWorker(pid, pidfd, report, first, socket.socket(fileno=proxy) if proxy >= 0 else None)
        if listener >= 0:
            worker.listen(listener, note if planned.filter.development else None)
        end.add_done_callback(lambda told: _announce(worker, told, wrapped=planned.level == "full-bwrap"))
        # It was alive to be let go after the pidfd was made: so the pidfd is its, and no later process's.
        # One that was killed meanwhile has a verdict that says so.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            status.send(wire.GO)
        return worker

    def _look_at(self, pid: int, planned: WorkerPlan, landlock_abi: int, *, named: bool) -> tuple[int, SandboxReport]:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise self._ended_early("The worker ended before the host could look at it.") from None
        try:
            made = judgement.made_of(planned, self._base.mounts, _filter_of(planned))
            seen = evidence.read_evidence(pid, mounts=made.mounts is not None)
            host = evidence.read_evidence(os.getpid())
            report = judgement.judge(seen, host, landlock_abi, named=named, made=made)
            if not at_least(report.level, self._require):
                raise SandboxFailed(judgement.decisive(report, planned.level), self._require)
        except BaseException:
            os.close(pidfd)
            raise
        return pidfd, report

    def _first_process(self, plugin: int, status: socket.socket) -> FirstProcess:
        try:
            return first_process_of(plugin, status)
        except (NotConfined, OSError) as error:
            raise self._failed("pid", str(error)) from error

    def _send(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        if self.closed:
            return
        # A kill that finds the socket full is no loss: who is not let go ends by itself.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
            socket.send_fds(self._control, [json.dumps(message).encode()], fds or [])

    # -- what it tells -------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        try:
            data, ancillary, _, _ = self._control.recvmsg(wire.MESSAGE_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self._lost()
            return
        message = wire.decode(data)
        if "ready" in message:
            self.pid = _sender(ancillary)
            self._pidfd = os.pidfd_open(self.pid)
            self._ready.set_result(None)
        elif "started" in message:
            self._answer(message["started"], None)
        elif "refused" in message:
            self._answer(message["refused"], Failure(**message["failed"]))
        elif "ended" in message:
            self._tell_end(message["ended"], message["status"])
        elif "failed" in message:
            self._ready.set_exception(SandboxFailed(layer_of(Failure(**message["failed"])), self._require))

    def _answer(self, number: int, failure: Failure | None) -> None:
        answer = self._answers.get(number)
        if answer is None or answer.done():
            return
        if failure is None:
            answer.set_result(None)
        else:
            answer.set_exception(SandboxFailed(layer_of(failure), self._require))

    def _tell_end(self, number: int, status: int | None) -> None:
        end = self._ends.pop(number, None)
        if end is not None:
            end.set_result(status)

    def _lost(self) -> None:
        """It closed its end: it is dead, and the kernel is ending its workers."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._control)
        self._control.close()
        failed = self._lost_with_it()
        if not self._ready.done():
            self._ready.set_exception(failed)
            # Nobody may be waiting for it any more.
            self._ready.exception()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(failed)
        for number in tuple(self._ends):
            self._tell_end(number, None)

    def _failed(self, layer: str, reason: str) -> SandboxFailed:
        return SandboxFailed(missing_layer(layer, 0, reason), self._require)

    async def _lost_worker(self, end: asyncio.Future[int | None]) -> WorkerLost:
        """Of one that never was sealed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                status = await asyncio.shield(end)
                if status is None:
                    return self._lost_with_it()
                told = verdict_of(status, killed_by_host=False).sentence
                return self._ended_early(f"The worker ended while its sandbox was made. {told}")
        return self._ended_early("The worker ended while its sandbox was made; its zygote did not tell how.")

    def _ended_early(self, sentence: str) -> WorkerLost:
        return self._worker_lost(Verdict(VerdictKind.SANDBOX_FAILED, sentence))

    def _lost_with_it(self) -> WorkerLost:
        sentence = "The zygote from which it should have been forked ended. The next start gets a new one."
        return self._worker_lost(Verdict(VerdictKind.ZYGOTE_LOST, sentence))

    def _worker_lost(self, verdict: Verdict) -> WorkerLost:
        return WorkerLost(missing_layer("setup", 0, verdict.sentence), self._require, verdict)

    # -- end -----------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Ends the zygote and, by the kernel, all its workers. May be called twice."""
        self._lost()
        if self._pidfd < 0:
            return
        pidfd, self._pidfd = self._pidfd, -1
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await _readable(pidfd)
        except TimeoutError:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await _readable(pidfd)
        finally:
            os.close(pidfd)


async def boot_zygote(interpreter: str, sdk: Path, zygote: ZygotePlan, require: str) -> ZygoteProcess:
    """Starts a zygote and waits until it can fork. Raises SandboxFailed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    order = {"sdk": str(sdk), "control": theirs.fileno(), "plan": plan.as_json(zygote).decode()}
    with theirs, _memory(json.dumps(order).encode()) as order_fd, _memory(b"") as stderr:
        process = await asyncio.create_subprocess_exec(
            *image.command(interpreter, boot.CODE),
            stdin=order_fd,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            env={},
            cwd="/",
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        result = ZygoteProcess(ours, zygote, require)
        try:
            # This process only makes the zygote; the zygote is its child, and nobody's.
            await process.wait()
            await result.ready()
        except SandboxFailed as error:
            await result.close()
            raise _with_output(error, stderr, require) from None
        except BaseException:
            await result.close()
            if process.returncode is None:
                process.kill()
            raise
    return result


def _with_output(error: SandboxFailed, stderr: int, require: str) -> SandboxFailed:
    """What the interpreter itself complained of says more than that it ended."""
    output = os.pread(stderr, _STDERR_BYTES, 0).decode(errors="replace").strip()
    if not output:
        return error
    return SandboxFailed(missing_layer("files", 0, f"The zygote ended: {output}."), require)


@contextlib.contextmanager
def _memory(data: bytes) -> Iterator[int]:
    """A descriptor from which the data can be read."""
    fd = os.memfd_create("moorage", os.MFD_CLOEXEC)
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


async def _receive(status: socket.socket) -> tuple[bytes, int, list[int]]:
    """The next message, the sender's pid as this process's pid namespace knows it (the kernel's word), and descriptors
    that came along."""
    await _readable(status.fileno())
    room = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_MOST_DESCRIPTORS * _INT.size)
    data, ancillary, _, _ = status.recvmsg(wire.MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    return data, _sender(ancillary), _descriptors(ancillary)


async def _first_word(status: socket.socket, end: asyncio.Future[int | None]) -> tuple[bytes, int, list[int]]:
    """What ``_receive`` returns, or nothing where the zygote told of an end and nothing follows."""
    receiving = asyncio.ensure_future(_receive(status))
    try:
        await asyncio.wait((receiving, end), return_when=asyncio.FIRST_COMPLETED)
        # What it had said before its end may come a little later.
        await asyncio.wait((receiving,), timeout=_LAST_WORD_SECONDS)
        if receiving.done():
            return receiving.result()
    except BaseException:
        receiving.add_done_callback(_let_go)
        await _cancelled(receiving)
        raise
    await _cancelled(receiving)
    return b"", 0, []


async def _cancelled(receiving: asyncio.Future[Any]) -> None:
    """Waited for: it lets go of the descriptor before its owner closes it, and another one gets its number."""
    receiving.cancel()
    await asyncio.wait((receiving,))


def _let_go(receiving: asyncio.Future[tuple[bytes, int, list[int]]]) -> None:
    """It had come, and nobody is there to take it any more."""
    if not receiving.cancelled() and receiving.exception() is None:
        for fd in receiving.result()[2]:
            os.close(fd)


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(fd, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(fd)


@contextlib.contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def _is_gone(pid: int, error: Exception) -> bool:
    """Also one that is on its way: its namespaces and files go before it is a zombie."""
    left = isinstance(error, (FileNotFoundError, ProcessLookupError)) and str(error.filename).startswith(
        f"/proc/{pid}/"
    )
    return left or started(pid) is None


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid: int = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
            return pid
    return 0


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return [number for (number,) in _INT.iter_unpack(data[: len(data) // _INT.size * _INT.size])]
    return []


def _told_apart(sealed: dict[str, Any], fds: list[int]) -> tuple[int, int]:
    """The descriptor on which forbidden calls are told, and the socket that listens in its network; -1: none."""
    kinds = [kind for kind in ("listener", "proxy") if sealed[kind]]
    found = dict(zip(kinds, fds, strict=True))
    return found.get("listener", -1), found.get("proxy", -1)


def _announce(worker: SandboxedWorker, end: asyncio.Future[int | None], *, wrapped: bool) -> None:
    status = end.result()
    if status is None:
        worker.zygote_lost()
    else:
        worker.ended(unwrapped(status) if wrapped else status)


def unwrapped(status: int) -> int:
    """What waitpid(2) would have told of the worker, from what it told of bwrap: that exits with 128 and the signal."""
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
    return code - 128 if 128 < code < 128 + signal.NSIG else status


async def _rest(status: socket.socket, data: bytes) -> str:
    """Of what bwrap complains, in several messages, before it ends."""
    parts = [data]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LEAVE_SECONDS):
            while parts[-1]:
                more, _, _ = await _receive(status)
                parts.append(more)
    return b"".join(parts).decode(errors="replace").strip().rstrip(".")


@functools.lru_cache(maxsize=16)
def _hash_of(variant: Variant) -> str:
    return hashlib.sha256(confine.native_filter(variant)).hexdigest()


def _filter_of(planned: WorkerPlan) -> SeccompFacts:
    return SeccompFacts(syscalls.MACHINE, _hash_of(planned.filter))
