"""The first thing that runs in a sandboxed worker: from the start record to a plugin that serves its host.

Imported by the zygote before it forks, so importing it starts no thread and makes no loop and no channel.

The plugin's event loop runs in the main thread, where Python delivers signals and many libraries expect to be; the
link has a thread and a loop of its own. The process ends by ``os._exit``: neither a stuck thread of the plugin nor
gRPC's own shutdown may keep it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import faulthandler
import importlib
import logging
import os
import signal
import sys
from typing import NoReturn

from moorage_proto import link_pb2, signals, start_pb2
from moorage_sdk import channel, scope
from moorage_sdk.errors import MoorageError
from moorage_sdk.host import facts_from_welcome
from moorage_sdk.scope import Scope
from moorage_sdk.services.log import HostHandler
from moorage_sdk.worker.channel import LinkChannel
from moorage_sdk.worker.link import LinkThread
from moorage_sdk.worker.runtime import IncomingCall, Runtime

#: sysexits.h, EX_UNAVAILABLE: the host did not answer, refused, or its link was lost.
EXIT_LINK_LOST = 69
#: As a shell reports it.
EXIT_TERMINATED = 128 + signal.SIGTERM

_STDIN, _STDERR = 0, 2
_CONSOLE_FEATURE = "console"


def main() -> NoReturn:
    """Never returns. Exit codes: 0 after Unload, EXIT_LINK_LOST, EXIT_TERMINATED."""
    record = read_start_record()
    faulthandler.enable()
    if signals.DUMP_STACKS < signal.NSIG:  # Linux has such a signal; on other systems nobody asks
        faulthandler.register(signals.DUMP_STACKS, file=_STDERR, all_threads=True, chain=False)
    # As pid 1 of its namespace a process gets only the signals that it handles.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(EXIT_TERMINATED))
    # Ctrl-C in the host's terminal is the host's: it stops its workers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(_serve(record))
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        # Something closed descriptors that were not its own, the loop's among them, and the link's with these.
        os._exit(EXIT_LINK_LOST)
    raise AssertionError("serving ends with the process")


def read_start_record() -> start_pb2.StartRecord:
    """From standard input until end of file; it reads nothing but end of file afterwards."""
    parts = []
    while True:
        part = os.read(_STDIN, 65536)
        if not part:
            break
        parts.append(part)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, _STDIN)
    os.close(null)
    return start_pb2.StartRecord.FromString(b"".join(parts))


async def _serve(record: start_pb2.StartRecord) -> NoReturn:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    runtime: Runtime

    def dispatch(call: IncomingCall) -> None:
        runtime.dispatch(call)

    thread = LinkThread(record.socket, record.token, dispatch)
    link_channel = LinkChannel(thread)
    handler = HostHandler(link_channel)
    runtime = Runtime(
        record.entry_point,
        channel=link_channel,
        flush=handler.flush_async,
        in_link_thread=thread.loop.call_soon_threadsafe,
    )
    try:
        # Blocks this loop on purpose: no call may be taken before what the host told is known.
        welcome = thread.start()
    except MoorageError as error:
        print(f"no link to the host: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        _leave(EXIT_LINK_LOST)

    def on_link_end(_: object) -> None:
        # In the link's thread, so that a busy plugin cannot outlive its host.
        if not runtime.unloaded.is_set():
            os._exit(EXIT_LINK_LOST)
        loop.call_soon_threadsafe(ended.set)

    runtime.meet(facts_from_welcome(welcome))
    channel.install(link_channel)
    scope.set_incarnation(Scope(welcome.incarnation_scope))
    _set_up_logging(welcome, handler, runtime)
    if _CONSOLE_FEATURE in welcome.features:
        # Not at the top: no worker but a developer's own needs a debugger.
        importlib.import_module("moorage_sdk.worker.debugger").install(link_channel)
    thread.loop.call_soon_threadsafe(thread.link.closed.add_done_callback, on_link_end)
    await runtime.unloaded.wait()
    await ended.wait()
    _run_exit_functions()
    _leave(0)


def _set_up_logging(welcome: link_pb2.Welcome, handler: HostHandler, runtime: Runtime) -> None:
    logging.getLogger().addHandler(handler)
    level = int(welcome.log_level) if welcome.log_level.isdigit() else logging.getLevelName(welcome.log_level)
    runtime.levels.apply(level if isinstance(level, int) else logging.INFO, dict(welcome.logger_levels))


def _run_exit_functions() -> None:
    """What libraries registered with ``atexit``; ``os._exit`` alone would skip it."""
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001 - the one way to run them without ending as Python ends


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
