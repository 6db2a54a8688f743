"""The baselines: bare gRPC on a Unix socket between two processes, asyncio and uvloop, with gRPC's own settings.

python baseline.py serve SOCKET
python baseline.py dial SOCKET: reads "ping CALLS" and "unary CALLS IN_FLIGHT" from standard input, answers a number.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import uvloop

PAYLOAD = b"x" * 64


# -- one end ---------------------------------------------------------------------------------------------------------


async def echo_stream(_requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
    while (message := await context.read()) is not grpc.aio.EOF:
        await context.write(message)


async def echo(request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
    return request


async def serve(socket: str) -> None:
    server = grpc.aio.server()
    handlers = {
        "Stream": grpc.stream_stream_rpc_method_handler(echo_stream),
        "Unary": grpc.unary_unary_rpc_method_handler(echo),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("baseline.Echo", handlers),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


# -- the other -------------------------------------------------------------------------------------------------------


async def ping(channel: grpc.aio.Channel, calls: int) -> float:
    """Median seconds of one message there and back on a bidirectional stream."""
    stream, samples = channel.stream_stream("/baseline.Echo/Stream")(), []
    for _ in range(calls):
        began = time.perf_counter()
        await stream.write(PAYLOAD)
        await stream.read()
        samples.append(time.perf_counter() - began)
    await stream.done_writing()
    return statistics.median(samples)


async def unary(channel: grpc.aio.Channel, calls: int, in_flight: int) -> float:
    """Unary calls a second."""
    call, remaining = channel.unary_unary("/baseline.Echo/Unary"), iter(range(calls))

    async def caller() -> None:
        for _ in remaining:
            await call(PAYLOAD)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return calls / (time.perf_counter() - began)


async def dial(socket: str) -> None:
    measures = {"ping": ping, "unary": unary}
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        # Reading blocks the loop: nothing else happens meanwhile.
        for line in sys.stdin:
            name, *numbers = line.split()
            print(await measures[name](channel, *map(int, numbers)), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run({"serve": serve, "dial": dial}[sys.argv[1]](sys.argv[2]))
