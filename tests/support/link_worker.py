"""A worker's channel in the test's process, and the host's end that it calls."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from link_ends import WAIT_SECONDS, Calls, soon

from moorage.broker.listener import Listener
from moorage_proto import link_pb2
from moorage_proto.errors import CallError
from moorage_sdk.worker.channel import LinkChannel
from moorage_sdk.worker.link import LinkThread

TOKEN = b"t" * 32


class Worker:
    """Over a real socket."""

    def __init__(self, folder: str) -> None:
        path = Path(folder) / "h"
        self.calls = Calls()
        self.refused: list[CallError] = []
        self.listener = Listener(path, TOKEN, lambda hello: link_pb2.Welcome(), self.calls, self.refused.append)
        self.thread = LinkThread(str(path), TOKEN, lambda call: call.reply(call.request))
        self.channel = LinkChannel(self.thread)


@contextlib.asynccontextmanager
async def linked_worker() -> AsyncIterator[Worker]:
    with tempfile.TemporaryDirectory(prefix="mc") as folder:
        made = Worker(folder)
        await made.listener.start()
        await soon(asyncio.to_thread(made.thread.start))
        await made.listener.connected(WAIT_SECONDS)
        yield made
        await soon(asyncio.to_thread(made.thread.close, "the test is over"))
        await soon(made.listener.close())


async def in_thread(function, *arguments, **options):
    return await soon(asyncio.to_thread(function, *arguments, **options))
