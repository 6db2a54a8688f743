"""Plans of the level "restricted": no namespaces. Workers stay on the host's file system, where Landlock holds them.

They are made from the plans of the level "full": what would be mounted is opened where it stands. Pure.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import Iterable, Mapping, Tuple

from moorage_sandbox.inner import ProgramPlan
from moorage_sandbox.interpreter import Interpreter
from moorage_sandbox.plan import Mount, WorkerPlan, ZygotePlan

#: Without TCP rules (ABI 4) there would be one layer less than the level promises.
LEAST_LANDLOCK_ABI = 4
#: Before that version there are no rules for signals, and a worker that is the host's user could end the host.
LEAST_LANDLOCK_ABI_OF_SHARED_USER = 6

#: Of the host's /etc, for looking up "localhost".
READABLE = ("/etc/hosts", "/etc/nsswitch.conf")
_OWN_FILE_SYSTEMS = ("/tmp", "/dev/shm", "/etc")  # noqa: S108 - targets in the plans of "full"


def zygote_plan(full: ZygotePlan, interpreter: Interpreter, level: str = "restricted") -> ZygotePlan:
    """The zygote of workers that are not forked inside a base root."""
    places = _places(full.mounts)
    preload = replace(
        full.preload,
        sys_path=tuple(_moved(path, places) for path in full.preload.sys_path),
        prefix=interpreter.prefix,
        base_prefix=interpreter.prefix,
        pid_namespaces=False,
    )
    return replace(
        full,
        user_namespace=False,
        executable=interpreter.executable,
        library_path=_library_path(interpreter),
        preload=preload,
        level=level,
    )


def worker_plan(
    full: WorkerPlan,
    base_mounts: Tuple[Mount, ...],
    interpreter: Interpreter,
    temporary: str,
    readable: Iterable[str],
    *,
    own_user: bool,
) -> WorkerPlan:
    """``temporary``: a folder of this worker's own, for what would be /tmp. ``readable``: the READABLE that exist.

    ``own_user``: False where it stays the host's user, whose other processes would count against its limit too, and
    whose files it would own.
    """
    places = {**_places((*base_mounts, *full.mounts)), "/tmp": temporary}  # noqa: S108 - a target in a plan of "full"
    files = tuple((_moved(path, places), access) for path, access in full.files if path not in _OWN_FILE_SYSTEMS)
    return replace(
        full,
        level="restricted",
        mounts=(),
        openings=(),
        own_root=None,
        etc=(),
        limits=tuple(limit for limit in full.limits if own_user or limit[0] != "RLIMIT_NPROC"),
        files=(*files, (temporary, "write"), *((path, "read") for path in readable)),
        executable=interpreter.executable,
        library_path=_library_path(interpreter),
        program=_program(full.program, places, interpreter),
        filter=replace(full.filter, shared_user=not own_user),
    )


def _program(full: ProgramPlan, places: Mapping[str, str], interpreter: Interpreter) -> ProgramPlan:
    return replace(
        full,
        env=tuple((name, _moved(value, places)) for name, value in full.env),
        sys_path=tuple(_moved(path, places) for path in full.sys_path),
        site_packages=_moved(full.site_packages, places),
        late_path=tuple(_moved(path, places) for path in full.late_path),
        work_folder=_moved(full.work_folder, places),
        prefix=_moved(full.prefix, places),
        base_prefix=interpreter.prefix,
        sdk=_moved(full.sdk, places),
    )


def _library_path(interpreter: Interpreter) -> str:
    return posixpath.dirname(interpreter.library) if interpreter.library is not None else ""


def _places(mounts: Iterable[Mount]) -> Mapping[str, str]:
    return {mount.target: mount.source for mount in mounts}


def _moved(path: str, places: Mapping[str, str]) -> str:
    """Where a path of the worker's own root stands on the host; other texts stay as they are."""
    for target in sorted(places, key=len, reverse=True):
        if path == target or path.startswith(target + "/"):
            return places[target] + path[len(target) :]
    return path
