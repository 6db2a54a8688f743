"""A plugin under development: put to use from its folder, brought up anew whenever a file of it is saved."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import watchfiles

from moorage.app import Host
from moorage.cli.execution_page import print_execution
from moorage.cli.log_line import print_log_line
from moorage.cli.output import complain, note, say
from moorage.cli.terminal import Terminal
from moorage.errors import MoorageError
from moorage.events.events import ExecutionEnded
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.views import InstallationView
from moorage.packages.manifest import read_manifest
from moorage.packages.source import is_left_out
from moorage.web.schemas.executions import Execution
from moorage.web.schemas.logs import LogLine
from moorage_proto.capability import Capability

#: Who does it, for the audit.
BY = "moorage dev"

#: Files saved within this time are one change.
SETTLE_MILLISECONDS = 100

#: Paths of the files that were saved together, below the folder that is watched.
Watch = Callable[[Path], AsyncIterator[Sequence[Path]]]


@dataclass(frozen=True)
class Work:
    """A task to run each time the plugin has come up."""

    task: str
    input: Any = None


class DevelopmentSession:
    """Of one plugin's folder on one host. What goes wrong is told, and mended by the next file that is saved."""

    def __init__(self, host: Host, folder: Path, work: Work | None = None, terminal: Terminal | None = None) -> None:
        """``terminal``: where a breakpoint asks, if one does; a log line leaves the question readable."""
        self._host = host
        self._terminal = terminal or Terminal()
        self._folder = folder
        self._work = work
        #: The installation's name, once its manifest could be read.
        self._name = ""
        self._granted: Set[Capability] = set()

    async def follow(self, watch: Watch | None = None) -> None:
        """Until it is cancelled."""
        watch = watch or watch_folder
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_logs(), name="dev: logs")
            tasks.create_task(self._follow_triggers(), name="dev: triggers")
            await self._bring_up()
            async for saved in watch(self._folder):
                say(f"saved {', '.join(str(path) for path in saved)}", "dim")
                await self._bring_up()

    async def _bring_up(self) -> None:
        began = asyncio.get_running_loop().time()
        try:
            view = await self._loaded()
        except MoorageError as error:
            complain(error)
            note("Waiting for the next change.")
            return
        worker = view.incarnations[0]
        seconds = asyncio.get_running_loop().time() - began
        what = f"{self._name} {view.installation.manifest.version} #{worker.number}"
        say(f"{what} ready in {seconds:.2f} s, sandbox {worker.sandbox_level}", "green")
        if self._work is not None:
            await self._run(self._work)

    async def _loaded(self) -> InstallationView:
        """Its folder's present version, with everything granted that it asks for: it is the developer's own."""
        asked = read_manifest(self._folder).capabilities
        for request in asked:
            if request.capability not in self._granted:
                note(f"granted {request.capability}: {request.because}")
        self._granted = {request.capability for request in asked}
        texts = [str(request.capability) for request in asked]
        if self._name:
            await self._host.reload(self._name, start=True, grant=texts, by=BY)
            return await self._host.installation(self._name)
        self._name = (await self._host.install(self._folder, grant=texts, by=BY, progress=note)).id
        return await self._host.start(self._name, by=BY)

    async def _run(self, work: Work) -> None:
        request = ExecutionRequest(self._name, work.task, work.input, trigger=BY)
        print_execution(Execution.of(await self._host.run(request)))

    async def _follow_triggers(self) -> None:
        """Nobody waits for what they start: what did not succeed is shown, with its traceback."""
        async with self._host.events.subscribe(ExecutionEnded) as endings:
            async for event in endings:
                if not isinstance(event, ExecutionEnded) or not event.execution.trigger_id:
                    continue
                if event.execution.state is not ExecutionState.SUCCEEDED:
                    with self._terminal.aside():
                        print_execution(Execution.of(event.execution))

    async def _follow_logs(self) -> None:
        async for line in self._host.follow_logs():
            with self._terminal.aside():
                print_log_line(LogLine.of(line), named=False)


async def watch_folder(folder: Path) -> AsyncIterator[Sequence[Path]]:
    """Files of the plugin as they are saved; not what tools leave beside them."""

    def wanted(_change: watchfiles.Change, path: str) -> bool:
        return not is_left_out(Path(path).relative_to(folder))

    async with contextlib.aclosing(watchfiles.awatch(folder, watch_filter=wanted, step=SETTLE_MILLISECONDS)) as changes:
        async for batch in changes:
            saved = sorted({Path(path).relative_to(folder) for _, path in batch})
            # Editors write beside a file first, and rename.
            yield [path for path in saved if (folder / path).exists()] or saved
