"""A small host in a process of its own, so that it can be another user, lack a layer, or be killed.

Reads one JSON order from standard input, writes one JSON line per result.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
from datetime import timedelta
from pathlib import Path

import grpc

from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.levels import LevelLauncher
from moorage.supervisor.probe import probe_sandbox
from moorage.supervisor.widening import GrantUnusable, openings_of, widening_of
from moorage.supervisor.zygote import ZygoteLauncher
from moorage_proto.capability import Grants, parse
from moorage_sandbox import bpf, syscalls
from moorage_sandbox.numbers import NUMBERS

TIMEOUT = timedelta(seconds=20)


#: CLONE_NEW*.
NEW_NAMESPACES = 0x7E02_0000


def refuse(calls):
    """From now on the kernel answers these calls with an errno: a machine that lacks a layer."""
    numbers = NUMBERS[syscalls.MACHINE]
    program = [*bpf.load(bpf.NUMBER)]
    for name, error in calls.items():
        refusal = bpf.answer(bpf.errno_answer(error))
        if name == "clone":
            # Only what makes namespaces: everything is forked with it.
            refusal = (*bpf.load(bpf.low_word(0)), *bpf.when_any_bit(NEW_NAMESPACES, refusal), *bpf.answer(bpf.ALLOW))
        program += bpf.when_equal(numbers[name], refusal)
    program += bpf.answer(bpf.ALLOW)
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.load_filter(bpf.encode(program))


def listen():
    """From now on this process has a listener of its own, as in a container whose engine listens."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    everything = bpf.encode(bpf.answer(bpf.ALLOW))
    return syscalls.load_filter(everything, syscalls.SECCOMP_FILTER_FLAG_NEW_LISTENER)


def worker_order(base, job, output, notes):
    stage = Path(base)
    widening = widening_of(Grants(allow=tuple(parse(text) for text in job.get("granted", ()))))
    return WorkerOrder(
        installation="stage",
        incarnation="stage-1",
        interpreter=Path(job["interpreter"]),
        runtime_path=Path(job["runtime"]),
        sdk_path=stage / job.get("sdk", "sdk"),
        use_runtime=job.get("use_runtime", True),
        venv_path=stage / "venv",
        code_path=stage / "code",
        code_roots=("", "src"),
        data_path=stage / "data",
        socket_dir=stage / "socket",
        start_record=lambda _: json.dumps(
            {"code": job["code"], "facts": job["facts"], "exit": job.get("exit", 0)}
        ).encode(),
        uid=job["uid"],
        memory_bytes=job.get("memory_bytes", 256 << 20),
        pids=job.get("pids", 64),
        start=job.get("start", "zygote"),
        require=job.get("require", "full"),
        stdout_fd=output,
        stderr_fd=output,
        env=(("STAGE", "inside"),),
        development=job.get("development", False),
        widening=widening,
        openings=openings_of(widening, (stage / "data", stage / "venv")),
        note=notes.append,
    )


async def until_ended(worker):
    """A worker that does not end is ended."""
    try:
        async with asyncio.timeout(TIMEOUT.total_seconds()):
            return await worker.wait()
    except TimeoutError:
        worker.kill()
        return await worker.wait()


@contextlib.contextmanager
def swapped(path, target):
    """For a while a symbolic link stands in the place of a folder that the host has looked at."""
    Path(path).rename(f"{path}.aside")
    Path(path).symlink_to(target)
    try:
        yield
    finally:
        Path(path).unlink()
        Path(f"{path}.aside").rename(path)


async def run_job(launcher, base, job):
    output = os.memfd_create("output")
    notes = []
    try:
        order = worker_order(base, job, output, notes)
        with swapped(*job["swap"]) if "swap" in job else contextlib.nullcontext():
            worker = await launcher.start(order, timeout=TIMEOUT)
        verdict = await until_ended(worker)
        text = os.pread(output, 1 << 20, 0).decode()
    except GrantUnusable as error:
        return {"unusable": str(error)}
    except SandboxFailed as error:
        return {"failed": str(error), "layer": error.missing.layer, "output": os.pread(output, 1 << 20, 0).decode()}
    finally:
        os.close(output)
    first = text.partition("\n")[0]
    ended = verdict.signal or f"exit {verdict.exit_code}"
    named = re.search("called (\\w+), which", verdict.sentence)
    result = {"outcome": f"forbidden {named[1]}" if named else ended, "output": text, "sentence": verdict.sentence}
    with contextlib.suppress(ValueError):
        result.update(json.loads(first))
    facts = {"level": worker.sandbox_level, "seccomp": worker.report.layers["seccomp"], "notes": notes}
    return {**result, **facts, "verdict": verdict.kind, "pid": worker.pid}


def leak(fd):
    """A careless host: what it starts inherits a descriptor and its environment."""
    start = asyncio.create_subprocess_exec

    async def carelessly(*command, **options):
        options["pass_fds"] = (*options.get("pass_fds", ()), fd)
        options["env"] = {**options.get("env", {}), "STAGE_SECRET": os.environ["STAGE_SECRET"]}
        return await start(*command, **options)

    asyncio.create_subprocess_exec = carelessly


async def echo_server(base):
    def unary(request, _context):
        return request

    async def echo(request, context):
        return unary(request, context)

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("stage", {"echo": method}),))
    path = Path(base) / "socket" / "h"
    path.unlink(missing_ok=True)
    server.add_insecure_port(f"unix://{path}")
    await server.start()
    path.chmod(0o777)
    return server


async def hold(launcher, order):
    """Starts workers that wait for ever, tells their pids, and waits to be killed."""
    workers = []
    for job in order["jobs"]:
        output = os.memfd_create("output")
        workers.append(await launcher.start(worker_order(order["base"], job, output, []), timeout=TIMEOUT))
    print(json.dumps([worker.pid for worker in workers]), flush=True)
    await asyncio.gather(*(worker.wait() for worker in workers))


async def main():
    order = json.load(sys.stdin)
    if order.get("refuse"):
        refuse(order["refuse"])
    if order.get("listening"):
        listen()
    if order.get("leak"):
        leak(order["leak"])
    if order.get("probe"):
        report = await probe_sandbox()
        missing = [entry.__dict__ for entry in report.missing]
        print(json.dumps({"level": report.level, "layers": dict(report.layers), "missing": missing}))
        return
    server = await echo_server(order["base"]) if order.get("echo") else None
    how = {"entry": "standin:main", "imports": tuple(order["imports"])}
    levels, level = order.get("levels"), order.get("level", "full")
    made = LevelLauncher(**how) if levels else ZygoteLauncher(level=level, require=order.get("require", level), **how)
    async with made as launcher:
        if order.get("hold"):
            await hold(launcher, order)
        for job in order["jobs"]:
            print(json.dumps(await run_job(launcher, order["base"], job)), flush=True)
    if server is not None:
        await server.stop(None)


asyncio.run(main())
