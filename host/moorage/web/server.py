"""Serves an ASGI application on an owner-only Unix socket, inside the host's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import pwd
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from moorage.errors import Conflict, ExitCode, MoorageError
from moorage.web.person import PERSON
from moorage.web.streams import CLOSING

log = logging.getLogger(__name__)

#: Requests in flight may take this long when the server stops; streams end at once.
GRACE_SECONDS = 5

#: An unresponsive shutdown is given up after this.
STOP_SECONDS = GRACE_SECONDS + 5


class SocketUnusable(MoorageError):
    """The API's socket cannot be made where the settings say."""

    code = "socket_unusable"
    exit_code = ExitCode.CONFIG


class SocketTaken(Conflict):
    """Another host serves its API there."""

    code = "socket_taken"


class ApiServer:
    """``async with ApiServer(app, path):`` serves until the block ends. Signals stay the application's own."""

    def __init__(self, app: ASGIApp, socket_path: Path) -> None:
        self._path = socket_path
        self._server = HostServer(
            uvicorn.Config(
                app,
                http=_OwnersProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._inode = 0

    async def __aenter__(self) -> Self:
        listener = _bind(self._path)
        self._inode = self._path.lstat().st_ino
        self._task = asyncio.create_task(self._server.serve([listener]), name="API server")
        ready = asyncio.create_task(self._server.ready.wait(), name="API server: ready")
        try:
            await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._task.done():
            listener.close()
            self._unlink()
            self._task.result()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._task is None:
            return
        task, self._task = self._task, None
        self._server.stop()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await task
        except TimeoutError:
            log.warning("the API server did not stop within %s s and was cancelled", STOP_SECONDS)
        finally:
            self._unlink()

    def _unlink(self) -> None:
        """Leaves a socket alone that someone else has put there meanwhile."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()


class _State(ServerState):
    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()


class HostServer(uvicorn.Server):
    """Uvicorn inside the host's own event loop, with the host's own end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state: _State = _State()
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Uvicorn's own wakes ten times a second; its Date header needs one."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self.server_state.closing.wait()

    def stop(self) -> None:
        self.server_state.closing.set()
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn would take SIGINT and SIGTERM, which are the host's: it must stop its workers first."""
        yield


class _OwnersProtocol(H11Protocol):
    """HTTP for the owner of the process and root; each request carries the name of whoever is at the other end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as H11Protocol has it
        super().connection_made(transport)
        uid = _peer_uid(transport)
        if uid not in (0, os.geteuid()):
            log.warning("a connection of uid %s to the API's socket was refused", uid)
            transport.abort()
        assert isinstance(self.server_state, _State)
        self.app_state = {**self.app_state, PERSON: _login(uid), CLOSING: self.server_state.closing}


def _peer_uid(transport: asyncio.Transport) -> int:
    """unix(7), SO_PEERCRED: who called connect, as the kernel knows it."""
    credentials = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return int(uid)


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _bind(path: Path) -> socket.socket:
    """A bound socket that only its owner can reach.

    Raises SocketTaken, SocketUnusable.
    """
    _prepare_folder(path.parent)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # nobody else came in between: the folder is the owner's alone
    except OSError as error:
        listener.close()
        raise SocketUnusable(
            f"The API's socket cannot be made at {path}: {error.strerror or error}. "
            "Set run_dir to a short path that this user may write to."
        ) from error
    return listener


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise SocketUnusable(
                f"The run folder {folder} is not a folder of this user, so its sockets would not be private. "
                "Remove it, or set run_dir to another path."
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise SocketUnusable(
            f"The run folder {folder} cannot be used: {error.strerror}. "
            "Set run_dir to a short path that this user may write to."
        ) from error


def _remove_stale(path: Path) -> None:
    """Removes a socket that nobody answers on: what a killed host leaves behind."""
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        raise SocketUnusable(f"{path} is in the way: it is no socket. Move it, or set run_dir to another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        answer = probe.connect_ex(str(path))
    # Anything but a refusal means that somebody listens: EAGAIN is a listener whose backlog is full.
    if answer != errno.ECONNREFUSED:
        raise SocketTaken(
            f"A host already answers at {path}. Stop it first, or give this one a state_dir and a run_dir of its own."
        )
    path.unlink()
