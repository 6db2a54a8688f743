"""What workers need that see the host's file system, and what is looked for on it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.launcher import WorkerOrder
from moorage_sandbox.layers import missing_layer
from moorage_sandbox.plan import WorkerPlan


def find_bwrap() -> str:
    """Raises SandboxFailed where it is not installed."""
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxFailed(missing_layer("bwrap", errno.ENOENT, "bwrap is not installed."), "full-bwrap")
    return found


def own_uid(order: WorkerOrder) -> int | None:
    """Whom the worker becomes; None: it stays who the host is, which only root can change."""
    return order.uid if os.geteuid() == 0 else None


def own_temporary(order: WorkerOrder) -> str:
    """A folder for the worker's temporary files; it goes with the socket's folder."""
    temporary = order.socket_dir.resolve() / "tmp"
    temporary.mkdir(mode=0o700, exist_ok=True)
    uid = own_uid(order)
    if uid is not None:
        os.chown(temporary, uid, uid)
    return str(temporary)


def check_grants(worker: WorkerPlan, level: str) -> None:
    """Raises SandboxFailed for a granted right that only the level "full" can hold."""
    for wanted, layer, right in ((worker.init, "pid", "sandbox.subprocess"), (worker.proc, "mount", "sandbox.proc")):
        if wanted:
            reason = f"{right} is granted, and a worker of level {level} cannot have it: take it back (moorage revoke)."
            raise SandboxFailed(missing_layer(layer, 0, reason), "full")


def check_open(order: WorkerOrder, required: str) -> None:
    """Raises SandboxFailed for the first folder that the worker's user cannot enter on the way to its own."""
    uid = own_uid(order)
    if uid is None:
        return
    paths = (order.interpreter, order.runtime_path, order.sdk_path, order.venv_path, order.code_path, order.data_path)
    closed = first_closed((*paths, order.socket_dir), uid)
    if closed is not None:
        reason = (
            f"{closed} may not be entered by user {uid}, who the plugin is. Workers at this level have no root of their"
            f" own and come to their folders by that way: chmod o+x {closed}, or have interpreter, state_dir and"
            " run_dir elsewhere."
        )
        raise SandboxFailed(missing_layer("files", errno.EACCES, reason), required)


def first_closed(paths: Iterable[Path], uid: int) -> Path | None:
    """The first folder on the way to one of the paths that a user without groups may not enter."""
    for path in paths:
        for folder in reversed(path.resolve().parents):
            found = folder.stat()
            if not found.st_mode & (0o100 if found.st_uid == uid else 0o001):
                return folder
    return None
