"""``dev``."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from moorage.app import Host
from moorage.cli.development import DevelopmentSession, Work
from moorage.cli.given import read_input
from moorage.cli.lesson import print_lesson
from moorage.cli.options import Config, Socket, load_settings
from moorage.cli.output import note, say
from moorage.cli.signals import stop_event
from moorage.cli.start_screen import print_host, print_sandbox
from moorage.cli.terminal import Terminal
from moorage.config.settings import Settings
from moorage.models.manifest import Manifest
from moorage.packages.manifest import read_manifest
from moorage.web.api import create_api
from moorage.web.server import ApiServer
from moorage_proto.learning import Learnt

commands = typer.Typer()


@commands.command()
def dev(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The plugin's project.")] = Path(),
    run: Annotated[str, typer.Option("--run", metavar="TASK", help="Run this task each time it has come up.")] = "",
    given: Annotated[
        Any, typer.Option("--input", "-i", parser=read_input, metavar="JSON|@FILE|-", help="Input of that task.")
    ] = None,
    learn: Annotated[
        bool, typer.Option("--learn", help="Allow it everything, and print at the end which capabilities it used.")
    ] = False,
    config: Config = None,
    socket: Socket = None,
) -> None:
    """Run a plugin while you write it: reload on save, live logs, breakpoint()."""
    folder = folder.resolve()
    manifest = read_manifest(folder)
    settings = load_settings(config).for_development(folder)
    work = Work(run, given) if run else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            _develop(settings, socket or settings.api_socket, folder, manifest, work, Learnt() if learn else None)
        )


async def _develop(
    settings: Settings, socket: Path, folder: Path, manifest: Manifest, work: Work | None, learnt: Learnt | None
) -> None:
    stop = stop_event()
    print_host(settings)
    terminal = Terminal()
    async with Host(settings, console=terminal, learnt=learnt) as host, ApiServer(create_api(host), socket):
        print_sandbox(await host.sandbox_report(), settings.sandbox.require)
        note(f"In another terminal: moorage --socket {socket} run {manifest.name}")
        if manifest.triggers:
            first = f"{manifest.name}/{manifest.triggers[0].name}"
            note(f"Its triggers work. To fire one at once: moorage --socket {socket} trigger fire {first}")
        if learnt is not None:
            note("It may do whatever it asks for, and what it uses is noted: this is for learning alone.")
        note("Whenever you save a file the plugin is loaded anew. Stop with Ctrl-C.")
        session = asyncio.create_task(DevelopmentSession(host, folder, work, terminal).follow(), name="dev: session")
        stopping = asyncio.create_task(stop.wait(), name="dev: asked to stop")
        try:
            await asyncio.wait((session, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            session.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await session
            if stop.is_set():
                say("\nStopping: what runs is cancelled; a second Ctrl-C ends everything at once.")
                # Whoever stands at a breakpoint would never let it finish.
                await host.drain(timedelta(0))
    if learnt is not None:
        print_lesson(folder, learnt)
    say("Stopped.")
