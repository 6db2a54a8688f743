"""The launcher that forks workers from zygotes: one for each interpreter, runtime and SDK, made when first needed."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.sandboxed import SandboxedWorker
from moorage.supervisor.zygote_process import ZygoteProcess, boot_zygote
from moorage_sandbox import plan
from moorage_sandbox.interpreter import QUERY, Interpreter
from moorage_sandbox.layers import missing_layer
from moorage_sandbox.libraries import find_libraries
from moorage_sandbox.plan import WorkerPaths, WorkerPlan, WorkerWishes, ZygotePlan
from moorage_sandbox.policy import DEFAULT_POLICY, Policy

_Key = tuple[Path, Path, Path]


class ZygoteLauncher:
    """Implements the launcher's contract. ``async with`` or ``close`` ends every worker and zygote.

    ``entry`` and ``imports`` name what workers run, and what zygotes import for them; tests have smaller ones.
    """

    def __init__(
        self,
        *,
        require: str = "full",
        policy: Policy = DEFAULT_POLICY,
        entry: str = plan.ENTRY,
        imports: tuple[str, ...] = plan.ZYGOTE_IMPORTS,
    ) -> None:
        self._require = require
        self._policy = policy
        self._entry = entry
        self._imports = imports
        self._boot_lock = asyncio.Lock()
        self._interpreters: dict[Path, Interpreter] = {}
        self._zygotes: dict[_Key, tuple[ZygotePlan, ZygoteProcess]] = {}

    async def start(self, order: WorkerOrder, *, timeout: timedelta) -> SandboxedWorker:
        """See Launcher.start."""
        async with asyncio.timeout(timeout.total_seconds()):
            base, zygote = await self._zygote(order)
            worker = self._plan(base, order)
            return await zygote.start(
                worker, order.start_record, order.stdout_fd, order.stderr_fd, order.note, order.admission
            )

    async def close(self) -> None:
        zygotes, self._zygotes = self._zygotes, {}
        for _, zygote in zygotes.values():
            await zygote.close()

    async def __aenter__(self) -> ZygoteLauncher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _zygote(self, order: WorkerOrder) -> tuple[ZygotePlan, ZygoteProcess]:
        """A living zygote for this order; a dead one is replaced."""
        key = (order.interpreter, order.runtime_path, order.sdk_path)
        async with self._boot_lock:
            known = self._zygotes.get(key)
            if known is not None and not known[1].closed:
                return known
            interpreter = await self._interpreter(order.interpreter)
            base = plan.zygote_plan(
                interpreter,
                find_libraries(os.uname().machine),
                sdk=str(order.sdk_path.resolve()),
                runtime=str(order.runtime_path.resolve()),
                zones=os.path.isdir(plan.ZONES),  # noqa: ASYNC240, PTH112 - one stat(2)
                user_namespace=os.geteuid() != 0,
                imports=self._imports,
            )
            zygote = await boot_zygote(interpreter.executable, order.sdk_path, base, self._require)
            self._zygotes[key] = (base, zygote)
            return base, zygote

    async def _interpreter(self, path: Path) -> Interpreter:
        if path not in self._interpreters:
            self._interpreters[path] = await query_interpreter(path, self._require)
        return self._interpreters[path]

    def _plan(self, base: ZygotePlan, order: WorkerOrder) -> WorkerPlan:
        wishes = WorkerWishes(
            paths=WorkerPaths(
                venv=str(order.venv_path.resolve()),
                code=str(order.code_path.resolve()),
                data=str(order.data_path.resolve()),
                socket_folder=str(order.socket_dir.resolve()),
            ),
            uid=order.uid if order.uid is not None else os.geteuid(),
            memory_bytes=order.memory_bytes,
            pids=order.pids,
            start=order.start,
            use_runtime=order.use_runtime,
            code_roots=order.code_roots,
            env=order.env,
            entry=self._entry,
            development=order.development,
        )
        return plan.worker_plan(base, self._interpreters[order.interpreter], self._policy, wishes)


async def query_interpreter(path: Path, require: str = "full") -> Interpreter:
    """Asks a trusted base interpreter about itself. Raises SandboxFailed."""
    try:
        process = await asyncio.create_subprocess_exec(
            path, "-I", "-S", "-c", QUERY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={}
        )
    except OSError as error:
        reason = f"{path} cannot be executed: {error.strerror}."
        raise SandboxFailed(missing_layer("files", error.errno or 0, reason), require) from error
    answer, complaint = await process.communicate()
    if process.returncode != 0:
        text = complaint.decode(errors="replace").strip()
        raise SandboxFailed(missing_layer("files", 0, f"{path} does not run: {text}"), require)
    return Interpreter.from_answer(answer.decode())
