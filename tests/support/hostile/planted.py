"""What stands about for an attacker: open to all users of the machine, so that only a sandbox keeps it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostile.machine import SharedSegment, lacks

_STATE = "the other plugin's state"

#: Holds known memory at a known address, tells who signalled it, and waits to be asked to leave.
BYSTANDER = """
import ctypes, signal, threading
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
def listen():
    while True:
        print(signal.sigwaitinfo({signal.SIGWINCH}).si_pid, flush=True)
threading.Thread(target=listen, daemon=True).start()
memory = ctypes.create_string_buffer(b"planted")
print(ctypes.addressof(memory), flush=True)
input()
"""

CGROUP_LISTS = (
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/memory/cgroup.procs",
    "/sys/fs/cgroup/unified/cgroup.procs",
)


@dataclass
class Planted:
    """``facts`` go to the actions; ``disturbed`` tells afterwards what an attacker has changed or reached."""

    folder: Path
    facts: dict[str, Any]
    inherited: int
    bystander: subprocess.Popen[str]
    listeners: dict[str, socket.socket] = field(default_factory=dict)

    def heard(self, pid: int) -> bool:
        """Whether that process has signalled the bystander. Another signal shows that no more are on their way."""
        os.kill(self.bystander.pid, signal.SIGWINCH)
        assert self.bystander.stdout is not None
        senders = []
        while os.getpid() not in senders:
            senders.append(int(self.bystander.stdout.readline()))
        return pid in senders

    def disturbed(self) -> list[str]:
        found = [f"{name} was reached" for name, listener in self.listeners.items() if _was_reached(listener)]
        if (self.folder / "other/data/state").read_text() != _STATE:
            found.append("the other plugin's state was changed")
            (self.folder / "other/data/state").write_text(_STATE)
        if self.bystander.poll() is not None:
            found.append("the bystander is dead")
        return found


def _was_reached(listener: socket.socket) -> bool:
    reached = False
    with contextlib.suppress(BlockingIOError):
        while True:
            if listener.type == socket.SOCK_DGRAM:
                listener.recv(16)
            else:
                listener.accept()[0].close()
            reached = True
    return reached


@contextlib.contextmanager
def planted(start: Callable[[str], subprocess.Popen[str]]) -> Iterator[Planted]:
    """``start``: runs Python code as an ordinary user, the one that the control is."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="moorage-outside-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _plant_files(folder)
        shared = Path("/dev/shm", folder.name)
        shared.write_text("planted")
        stack.callback(shared.unlink)
        segment = SharedSegment(abs(hash(folder.name)) % 2**30 + 1, b"planted")
        stack.callback(segment.close)
        bystander = start(BYSTANDER)
        stack.callback(bystander.communicate, "\n")
        assert bystander.stdout is not None
        inherited = os.open(folder / ".env", os.O_RDONLY)
        stack.callback(os.close, inherited)
        listeners = {name: stack.enter_context(_listener(*how)) for name, how in _addresses(folder).items()}
        facts = {
            "folder": str(folder),
            "shared_memory": str(shared),
            "shm_key": segment.key,
            "bystander": bystander.pid,
            "address": int(bystander.stdout.readline()),
            "abstract": folder.name,
            "port": listeners["TCP"].getsockname()[1],
            "port6": listeners["TCP over IPv6"].getsockname()[1] if "TCP over IPv6" in listeners else 1,
            "udp_port": listeners["UDP"].getsockname()[1],
            "host_name": socket.gethostname(),
            "block_device": _block_device(),
            "cgroup_procs": next((path for path in CGROUP_LISTS if os.path.exists(path)), CGROUP_LISTS[0]),
        }
        yield Planted(folder, facts, inherited, bystander, listeners)


def _plant_files(folder: Path) -> None:
    for name, text in (("home/.ssh/id_ed25519", "key"), (".env", "TOKEN=planted"), ("other/data/state", _STATE)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "other/socket").mkdir()
    open_to_all(folder)


def open_to_all(folder: Path) -> None:
    """So that DAC does not do what the sandbox should."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)


def _addresses(folder: Path) -> dict[str, tuple[int, int, Any]]:
    stream = socket.SOCK_STREAM
    addresses: dict[str, tuple[int, int, Any]] = {
        "the other plugin's socket": (socket.AF_UNIX, stream, str(folder / "other/socket/h")),
        "the container engine's socket": (socket.AF_UNIX, stream, str(folder / "docker.sock")),
        "the abstract socket": (socket.AF_UNIX, stream, f"\0{folder.name}"),
        "TCP": (socket.AF_INET, stream, ("127.0.0.1", 0)),
        "UDP": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
    }
    if not lacks("IPv6"):
        addresses["TCP over IPv6"] = (socket.AF_INET6, stream, ("::1", 0))
    return addresses


@contextlib.contextmanager
def _listener(family: int, kind: int, address: Any) -> Iterator[socket.socket]:
    with socket.socket(family, kind) as server:
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen()
        if isinstance(address, str) and address.startswith("/"):
            os.chmod(address, 0o777)
        server.setblocking(False)
        yield server


def _block_device() -> str:
    disks = sorted(Path("/sys/class/block").glob("*")) if Path("/sys/class/block").is_dir() else []
    return next((f"/dev/{disk.name}" for disk in disks if Path("/dev", disk.name).exists()), "/dev/vda")
