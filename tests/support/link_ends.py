"""Two ends of a link over memory, and a peer that sends whatever it likes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from moorage_proto import kafka_pb2, link_pb2, plugin_pb2, sql_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link import IncomingCall, Link, LinkLimits, Side, frames
from moorage_proto.methods import service_methods

PRODUCE = service_methods(kafka_pb2, "KafkaService")["produce"]
RUN = service_methods(plugin_pb2, "PluginService")["run"]
FETCH = service_methods(sql_pb2, "SqlService")["fetch"]
EXECUTE_MANY = service_methods(sql_pb2, "SqlService")["execute_many"]

WAIT_SECONDS = 5.0


async def soon(awaitable):
    """Bounds a wait."""
    return await asyncio.wait_for(awaitable, WAIT_SECONDS)


class Pipe:
    """One direction of a stream in memory. It takes `capacity` batches before a write waits, as a socket would."""

    def __init__(self, capacity: int = 4) -> None:
        self._batches: deque[bytes] = deque()
        self._capacity = capacity
        self._changed = asyncio.Condition()
        self.closed = False
        self.written: list[bytes] = []

    async def put(self, data: bytes) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.closed or len(self._batches) < self._capacity)
            if self.closed:
                raise ConnectionError("the pipe is closed")
            self.written.append(data)
            self._batches.append(data)
            self._changed.notify_all()

    async def get(self) -> bytes | None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.closed or self._batches)
            if not self._batches:
                return None
            data = self._batches.popleft()
            self._changed.notify_all()
            return data

    async def close(self) -> None:
        async with self._changed:
            self.closed = True
            self._changed.notify_all()


class MemoryTransport:
    """A Transport."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self.incoming = incoming
        self.outgoing = outgoing

    async def read(self) -> bytes | None:
        return await self.incoming.get()

    async def write(self, data: bytes) -> None:
        await self.outgoing.put(data)

    async def finish(self) -> None:
        await self.outgoing.close()


def transports(capacity: int = 4) -> tuple[MemoryTransport, MemoryTransport]:
    there, back = Pipe(capacity), Pipe(capacity)
    return MemoryTransport(back, there), MemoryTransport(there, back)


class Calls:
    """A dispatcher: keeps what comes, and answers it with `answer` when that is set."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[IncomingCall] = asyncio.Queue()
        self.answer: Callable[[IncomingCall], None] | None = None

    def __call__(self, call: IncomingCall) -> None:
        if self.answer is not None:
            self.answer(call)
        else:
            self.queue.put_nowait(call)

    async def next(self) -> IncomingCall:
        return await soon(self.queue.get())


class Pair:
    """Both ends of one link."""

    def __init__(self, limits: LinkLimits, *, lanes: int = 1, capacity: int = 4) -> None:
        self.host_calls, self.worker_calls = Calls(), Calls()
        ends = [transports(capacity) for _ in range(lanes)]
        self.transports = ends
        self.host = Link(ends[0][0], Side.HOST, self.host_calls, limits=limits, name="host")
        self.worker = Link(ends[0][1], Side.WORKER, self.worker_calls, limits=limits, name="worker")
        for number in range(1, lanes):
            self.host.add_lane(number, ends[number][0])
            self.worker.add_lane(number, ends[number][1])

    async def close(self) -> None:
        await soon(self.worker.close("the test is over"))
        await soon(self.host.close("the test is over"))


class RawPeer:
    """The worker's end of lane 0, by hand: sends frames as they are and reads what the host's link answers."""

    def __init__(self, limits: LinkLimits, capacity: int = 1000) -> None:
        host_end, self._end = transports(capacity)
        self.limits = limits
        self.calls = Calls()
        self.link = Link(host_end, Side.HOST, self.calls, limits=limits, name="host")
        self._frames: deque[link_pb2.Frame] = deque()

    async def send(self, *sent: link_pb2.Frame) -> None:
        await self.send_bytes(link_pb2.Batch(frames=sent).SerializeToString())

    async def send_bytes(self, data: bytes) -> None:
        await self._end.write(data)

    async def hang_up(self) -> None:
        await self._end.finish()

    async def frame(self) -> link_pb2.Frame:
        while not self._frames:
            data = await soon(self._end.read())
            assert data is not None, "the host has ended the stream"
            self._frames.extend(frames.decode(data, self.limits))
        return self._frames.popleft()

    async def ended(self) -> CallError:
        return await soon(asyncio.shield(self.link.closed))

    async def alive(self) -> None:
        """The host's end still answers."""
        await self.send(link_pb2.Frame(ping=link_pb2.Ping(nonce=99)))
        while (await self.frame()).pong.nonce != 99:
            continue

    async def close(self) -> None:
        await self._end.finish()
        await self._end.incoming.close()
        await soon(self.link.close("the test is over"))


def refusal(sentence: str = "no") -> CallError:
    return CallError(
        Status.PERMISSION_DENIED,
        Reason.CAPABILITY_MISSING,
        sentence,
        capability="kafka.produce:t",
        remedy="moorage grant x kafka.produce:t",
    )
