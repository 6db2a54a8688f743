"""How strong a sandbox this machine can have: a worker is really made, looked at from outside, and let go."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import moorage_sandbox
from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.zygote import ZygoteLauncher
from moorage_sandbox import probe
from moorage_sandbox.report import SandboxReport

_TIMEOUT = timedelta(seconds=10)
#: "nobody": a user that owns nothing.
_UID = 65_534
_MEMORY_BYTES = 256 * 1024 * 1024


async def probe_sandbox() -> SandboxReport:
    """About 0.1 s. The level is "full", or "none" with the layer that is missing: then no worker can start."""
    with tempfile.TemporaryDirectory(prefix="moorage-probe-") as folder, _nowhere() as output:
        order = _order(Path(folder), output)
        async with ZygoteLauncher(entry=probe.ENTRY, imports=("asyncio", probe.MODULE)) as launcher:
            try:
                worker = await launcher.start(order, timeout=_TIMEOUT)
            except SandboxFailed as error:
                return probe.refused_report(error.missing)
            await worker.wait()
            return worker.report


@contextlib.contextmanager
def _nowhere() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _order(folder: Path, output: int) -> WorkerOrder:
    package = Path(moorage_sandbox.__file__).parent
    return WorkerOrder(
        installation="probe",
        incarnation="probe",
        interpreter=Path(getattr(sys, "_base_executable", sys.executable)),
        runtime_path=folder,
        sdk_path=package.parent,
        use_runtime=True,
        venv_path=folder,
        code_path=folder,
        code_roots=(),
        data_path=folder,
        socket_dir=folder,
        start_record=lambda _: b"",
        uid=_UID,
        memory_bytes=_MEMORY_BYTES,
        pids=8,
        start="zygote",
        stdout_fd=output,
        stderr_fd=output,
    )
