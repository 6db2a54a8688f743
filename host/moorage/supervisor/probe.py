"""How strong a sandbox this machine can have: a worker is really made, looked at from outside, and let go."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import moorage_sandbox
from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.zygote import ZygoteLauncher
from moorage_sandbox import probe
from moorage_sandbox.judgement import unique
from moorage_sandbox.report import LEVELS, MissingLayer, SandboxReport

_TIMEOUT = timedelta(seconds=10)
#: "nobody": a user that owns nothing.
_UID = 65_534
_MEMORY_BYTES = 256 * 1024 * 1024


async def probe_sandbox() -> SandboxReport:
    """The strongest level at which a worker could be made, with why none of the stronger ones. About 0.1 s for each."""
    refused: list[MissingLayer] = []
    for level in LEVELS[:-1]:
        try:
            report = await _probe(level)
        except SandboxFailed as error:
            refused.append(error.missing)
        else:
            return replace(report, missing=unique((*refused, *report.missing)))
    return probe.refused_report(unique(refused))


async def _probe(level: str) -> SandboxReport:
    """Raises SandboxFailed."""
    with tempfile.TemporaryDirectory(prefix="moorage-probe-") as folder, _nowhere() as output:
        order = _order(Path(folder), output)
        # Not every user may come to where this host's own code lies; the plugins' folders are another matter.
        imports = ("asyncio", probe.MODULE)
        async with ZygoteLauncher(level=level, entry=probe.ENTRY, imports=imports, opens_files=False) as launcher:
            worker = await launcher.start(order, timeout=_TIMEOUT)
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
    folder.chmod(0o711)
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
