"""``serve``: the one command that is the host."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from moorage.app import Host
from moorage.cli.commands.switch import line
from moorage.cli.installation_page import print_broken
from moorage.cli.options import Config, Socket, load_settings
from moorage.cli.output import note, print_json_line, say
from moorage.cli.plain import lines
from moorage.cli.signals import stop_events
from moorage.cli.start_screen import print_host, print_ready, print_sandbox
from moorage.config.settings import Settings
from moorage.web.api import create_api
from moorage.web.schemas.installations import BrokenPlugin
from moorage.web.schemas.switch import Switch
from moorage.web.server import ApiServer

commands = typer.Typer()

#: Of Python's threads.
SWITCH_INTERVAL_SECONDS = 0.0001

#: Blocks from this size on are mapped, and given back, each by itself.
MAPPED_BYTES = 512 * 1024
#: Of other memory so much may stay free at the end of the heap.
KEPT_BYTES = 16 * 1024 * 1024

#: From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@commands.command()
def serve(
    config: Config = None,
    socket: Socket = None,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="LEVEL", help="Of the host's own log: debug, info, warning, error.")
    ] = "warning",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when it is ready, no screen.")] = False,
) -> None:
    """Start the host and its API, until Ctrl-C."""
    settings = load_settings(config)
    formatter = _set_up_logging(log_level)
    _allow_descriptors()
    _share_the_interpreter()
    _give_memory_back()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, socket or settings.api_socket, as_json, formatter))


async def _serve(settings: Settings, socket: Path, as_json: bool, formatter: _PlainFormatter) -> None:
    stop, now = stop_events()
    if not as_json:
        print_host(settings)
    async with Host(settings) as host, ApiServer(create_api(host), socket):
        formatter.mask = host.secrets.masked
        if not as_json:
            print_sandbox(await host.sandbox_report(), settings.sandbox.require)
        if await _unless(stop, host.load(note)):
            await _announce(host, settings, socket, as_json)
            await stop.wait()
        if not as_json:
            say("\nStopping: work in flight may finish; a second Ctrl-C cancels it, a third ends everything at once.")
        await _drain(host, now)
    if not as_json:
        say("Stopped.")


async def _drain(host: Host, now: asyncio.Event) -> None:
    """While the API still answers: who waits for an execution is told how it ended, or that it waits on."""
    draining = asyncio.create_task(host.drain(), name="serve: drain")
    hurried = asyncio.create_task(now.wait(), name="serve: asked to stop now")
    try:
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            await host.drain(timedelta(0))
        await draining
    finally:
        hurried.cancel()


async def _announce(host: Host, settings: Settings, socket: Path, as_json: bool) -> None:
    installed = [view.installation.id for view in await host.installations()]
    if as_json:
        print_json_line({"ready": True, "socket": str(socket), "pid": os.getpid(), "installations": installed})
        return
    print_broken([BrokenPlugin.of(broken) for broken in await host.broken()])
    switch = Switch.of(await host.switch.state())
    if not switch.on:
        say(*line(switch))
    print_ready(socket, settings, installed, host.kafka_servers)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Whether the work was done before somebody asked to stop; it is cancelled then."""
    task = asyncio.create_task(work, name="serve: load plugins")
    stopping = asyncio.create_task(stop.wait(), name="serve: asked to stop")
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        task.result()
        return True
    finally:
        for pending in (task, stopping):
            pending.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


def _share_the_interpreter() -> None:
    """Threads that answer one plugin's statements wait less for an event loop that another plugin keeps busy: Python's
    own interval is 5 ms, five times as long as such a statement takes altogether.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)


def _give_memory_back() -> None:
    """What large messages took goes back to the kernel with them. By itself glibc keeps more and more of what was
    freed, for each thread: mallopt(3), M_MMAP_THRESHOLD.
    """
    with contextlib.suppress(OSError, AttributeError):  # other systems' libraries have no such thing
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def _allow_descriptors() -> None:
    """As many as this process may have. A usual soft limit is 1,024, and one worker may dial its socket that often."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _PlainFormatter(logging.Formatter):
    """Log records may quote what plugins wrote."""

    #: Takes secrets out of a text; the host's, once there is one.
    mask: Callable[[str], str] = str

    def format(self, record: logging.LogRecord) -> str:
        return self.mask(lines(super().format(record)))


def _set_up_logging(level: str) -> _PlainFormatter:
    numbers = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
    if level.lower() not in numbers:
        raise typer.BadParameter(f"{level} is not one of {', '.join(numbers)}", param_hint="--log-level")
    handler = logging.StreamHandler(sys.stderr)
    formatter = _PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(formatter)
    logging.basicConfig(level=numbers[level.lower()], handlers=[handler])
    return formatter
