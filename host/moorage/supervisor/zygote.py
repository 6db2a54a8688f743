"""The launcher that forks workers from zygotes: one for each interpreter, runtime and SDK, made when first needed.

One launcher makes workers of one level. At "full" the zygote stands in the base root already; below it stays on the
host's file system, and its children seal themselves there ("restricted") or become bwrap ("full-bwrap").
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.hosted import check_grants, check_open, find_bwrap, own_temporary, own_uid
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.sandboxed import SandboxedWorker
from moorage.supervisor.widening import WideningUnavailable
from moorage.supervisor.zygote_process import ZygoteProcess, boot_zygote
from moorage_sandbox import bwrap, plan, restricted, widened
from moorage_sandbox.interpreter import QUERY, Interpreter
from moorage_sandbox.layers import missing_layer
from moorage_sandbox.libraries import find_libraries
from moorage_sandbox.plan import WorkerPaths, WorkerPlan, WorkerWishes, ZygotePlan
from moorage_sandbox.policy import DEFAULT_POLICY, Policy

_Key = tuple[Path, Path, Path]


class ZygoteLauncher:
    """Implements the launcher's contract. ``async with`` or ``close`` ends every worker and zygote.

    ``entry`` and ``imports`` name what workers run, and what zygotes import for them; tests have smaller ones.
    ``level``: "full", "full-bwrap" or "restricted". ``require``: what the kernel must show of a worker at least; the
    level, if nothing else is said. ``opens_files``: False for workers that have all they need imported already.
    """

    def __init__(
        self,
        *,
        level: str = "full",
        require: str = "",
        policy: Policy = DEFAULT_POLICY,
        entry: str = plan.ENTRY,
        imports: tuple[str, ...] = plan.ZYGOTE_IMPORTS,
        opens_files: bool = True,
    ) -> None:
        self._level = level
        self._require = require or level
        self._policy = policy
        self._entry = entry
        self._imports = imports
        self._opens_files = opens_files
        self._boot_lock = asyncio.Lock()
        self._interpreters: dict[Path, Interpreter] = {}
        self._zygotes: dict[_Key, tuple[ZygotePlan, ZygoteProcess]] = {}

    async def start(self, order: WorkerOrder, *, timeout: timedelta) -> SandboxedWorker:
        """See Launcher.start."""
        async with asyncio.timeout(timeout.total_seconds()):
            base, zygote = await self._zygote(order)
            worker = self._plan(base, order)
            record = order.start_record(str(order.socket_dir.resolve()) if self._hosted else "/run/host")
            return await zygote.start(worker, record, order.stdout_fd, order.stderr_fd, order.note, order.admission)

    @property
    def _hosted(self) -> bool:
        """Whether workers see the host's file system, and paths are what they are here."""
        return self._level == "restricted"

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
            if known is not None:
                if not known[1].closed:
                    return known
                await known[1].close()
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
            booted = self._booted(base, interpreter)
            zygote = await boot_zygote(interpreter.executable, order.sdk_path, booted, self._require)
            self._zygotes[key] = (base, zygote)
            return base, zygote

    def _booted(self, full: ZygotePlan, interpreter: Interpreter) -> ZygotePlan:
        if self._level == "full":
            return full
        made = restricted.zygote_plan(full, interpreter, self._level)
        # What becomes bwrap needs nothing of what is imported.
        return made if self._hosted else replace(made, preload=replace(made.preload, imports=()))

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
            pids=order.pids * order.overlapping,
            start=order.start,
            use_runtime=order.use_runtime,
            code_roots=order.code_roots,
            env=order.env,
            entry=self._entry,
            development=order.development,
        )
        interpreter = self._interpreters[order.interpreter]
        usual = plan.worker_plan(base, interpreter, self._policy, wishes)
        if order.widening and self._level != "full":
            raise WideningUnavailable(order.installation, self._level)
        full = widened.worker_plan(usual, base, order.widening, order.openings)
        if self._level != "full":
            check_grants(full, self._level)
        if self._level == "full-bwrap":
            return bwrap.worker_plan(full, base, find_bwrap(), as_root=os.geteuid() == 0)
        if self._hosted:
            if self._opens_files:
                check_open(order, self._require)
            temporary = own_temporary(order)
            readable = tuple(filter(os.path.exists, restricted.READABLE))
            own_user = own_uid(order) is not None
            made = restricted.worker_plan(full, base.mounts, interpreter, temporary, readable, own_user=own_user)
            return made if self._opens_files else replace(made, files=())
        return full


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
