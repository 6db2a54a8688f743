"""The contract behind which workers are made. The zygote is one way; another machine may be another."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from moorage.models.incarnation import Verdict
from moorage_sandbox.cgroup import Group
from moorage_sandbox.widening import NONE, Opening, Widening

log = logging.getLogger(__name__)


class Admission(Protocol):
    """What must be done with a worker's process before it is let go."""

    @property
    def group(self) -> Group | None:
        """The control group in which it may begin; whoever does not care is joined by ``admit``."""

    async def admit(self, pid: int) -> None:
        """``pid``: in the host's pid namespace. Raises SandboxFailed: then it must not be let go."""


@dataclass(frozen=True)
class WorkerOrder:
    """All that a launcher needs to start one worker."""

    installation: str
    incarnation: str
    #: The trusted base interpreter, such as /usr/bin/python3.11.
    interpreter: Path
    #: Folder with grpcio and protobuf for that interpreter.
    runtime_path: Path
    #: Folder with the host's copies of SDK, contracts and sandbox.
    sdk_path: Path
    #: False: the venv's own grpcio or protobuf come before the runtime's, and the worker starts fresh.
    use_runtime: bool
    venv_path: Path
    code_path: Path
    #: Entries below code_path that go on sys.path, "" for itself: ("src",).
    code_roots: tuple[str, ...]
    data_path: Path
    #: The folder that holds the worker's socket.
    socket_dir: Path
    #: Makes the serialised StartRecord, for the worker's stdin, from the place of ``socket_dir`` as the worker sees it.
    start_record: Callable[[str], bytes]
    #: The worker's uid when the host is root; None: the host is an ordinary user, and so is the worker.
    uid: int | None
    memory_bytes: int
    pids: int
    #: "zygote" or "fresh".
    start: str
    #: File descriptors of the host that become the worker's 1 and 2; the launcher does not close them.
    stdout_fd: int
    stderr_fd: int
    cpus: float | None = None
    env: tuple[tuple[str, str], ...] = ()
    #: Forbidden system calls fail and are noted, instead of ending the worker.
    development: bool = False
    #: What was granted beyond the usual sandbox, and what the files and devices of it are on this machine.
    widening: Widening = NONE
    openings: tuple[Opening, ...] = ()
    #: Workers of this installation that may overlap, where a control group holds the bound for all of them together.
    overlapping: int = 1
    #: Told, in a sentence for the plugin's log, what a worker under development was refused.
    note: Callable[[str], None] = log.info
    #: The number of the incarnation.
    number: int = 0
    #: Workers of one generation share the installation's limits; another one, in a reload, has its own.
    generation: str = ""
    #: None: nothing is to be done.
    admission: Admission | None = None
    #: Lowest level at which it may start; one of moorage_sandbox.report.LEVELS.
    require: str = "full"


class Worker(Protocol):
    """A started worker, its tree of processes included."""

    @property
    def pid(self) -> int:
        """In the host's pid namespace."""

    @property
    def sandbox_level(self) -> str:
        """ "full", "full-bwrap", "restricted" or "none": what the host verified for this very process."""

    @property
    def group(self) -> Group | None:
        """Its control group; None: it has none."""

    @property
    def out_of_memory(self) -> str:
        """After its end: that the kernel killed one of its processes for its memory, as a sentence; or empty."""

    def take_proxy(self) -> socket.socket | None:
        """The socket that listens in its own network, where its connections to the world come in; the taker's to close.

        None: it was not granted any, or the socket is taken.
        """

    async def wait(self) -> Verdict:
        """Until the worker is gone with its whole tree; may be awaited by several."""

    def terminate(self) -> None:
        """SIGTERM to the worker."""

    def dump_stacks(self) -> None:
        """The signal on which its SDK writes what all its threads do; only sent where it is handled."""

    def kill(self) -> None:
        """SIGKILL to the whole tree. Certain; may be called twice."""


class Launcher(Protocol):
    async def start(self, order: WorkerOrder, *, timeout: timedelta) -> Worker:
        """Returns when the worker stands sandboxed and runs the SDK's bootstrap.

        Raises SandboxFailed (a MoorageError that names layer, reason and remedy) or TimeoutError.
        """

    async def close(self) -> None:
        """Ends every worker and every zygote."""
