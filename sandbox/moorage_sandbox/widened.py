"""From the usual plan of a worker to that of one to which more was granted. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import Tuple

from moorage_sandbox import loopback
from moorage_sandbox.inner import ProgramPlan
from moorage_sandbox.plan import Mount, OwnRoot, WorkerPlan, ZygotePlan
from moorage_sandbox.widening import Opening, Widening

#: Below these a program may be executed: what the interpreter and a plugin's native programs need.
_EXECUTABLE = ("/py", "/venv")


def worker_plan(usual: WorkerPlan, base: ZygotePlan, widening: Widening, openings: Tuple[Opening, ...]) -> WorkerPlan:
    """``openings``: what the granted files and devices are on this machine."""
    if not widening:
        return usual
    mounts = tuple(
        Mount(opening.source, opening.target, opening.access, opening.identity)
        for opening in _not_seen(base, _through_links(base, openings))
    )
    result = replace(
        usual,
        init=widening.subprocess,
        proc=widening.proc,
        proxy_port=loopback.PORT if widening.net else 0,
        openings=mounts,
        own_root=_own_root(base, proc=widening.proc) if mounts or widening.proc else None,
        files=_files(usual, base, widening, mounts),
        filter=replace(usual.filter, subprocess=widening.subprocess, devices=bool(widening.devices), net=widening.net),
    )
    if not widening.subprocess:
        return result
    # One more for the first process, which waits for the others.
    limits = tuple((name, value + 1 if name == "RLIMIT_NPROC" else value) for name, value in usual.limits)
    return replace(result, limits=limits, program=_with_libraries(usual.program, base.library_path))


def _through_links(base: ZygotePlan, openings: Tuple[Opening, ...]) -> Tuple[Opening, ...]:
    """Where a target lies below a link of the root ("/lib"), it is mounted where that leads; the link shows it."""
    result = []
    for opening in openings:
        target = opening.target
        for path, place in base.links:
            if target.startswith(f"{path}/"):
                target = posixpath.normpath(posixpath.join(posixpath.dirname(path), place)) + target[len(path) :]
        result.append(replace(opening, target=target))
    return tuple(sorted(result, key=lambda opening: opening.target))


def _not_seen(base: ZygotePlan, openings: Tuple[Opening, ...]) -> Tuple[Opening, ...]:
    """Without what every worker sees, and without what lies in another one of them."""
    folders = [mount.target for mount in base.mounts]
    result = []
    for opening in openings:
        if not any(f"{opening.target}/".startswith(f"{folder}/") for folder in folders):
            result.append(opening)
            folders.append(opening.target)
    return tuple(result)


def _own_root(base: ZygotePlan, *, proc: bool) -> OwnRoot:
    """The base root is shared by all workers of a zygote; what only this one sees is not made there."""
    return OwnRoot(base.mounts, base.links, (*base.folders, "/proc", "/.proc") if proc else base.folders)


def _files(
    usual: WorkerPlan, base: ZygotePlan, widening: Widening, mounts: Tuple[Mount, ...]
) -> Tuple[Tuple[str, str], ...]:
    words = {"files": "read", "granted device": "granted device"}
    more = [(mount.target, words[mount.access]) for mount in mounts]
    if widening.proc:
        more.append(("/proc", "read"))
    if not widening.subprocess:
        return (*usual.files, *more)
    libraries = {mount.target for mount in base.mounts if "/lib" in mount.target}
    return (*(_executable(path, access, libraries) for path, access in usual.files), *more)


def _executable(path: str, access: str, libraries: set[str]) -> Tuple[str, str]:
    wanted = path in libraries or path.startswith(_EXECUTABLE)
    return path, "execute" if wanted and access == "read" else access


def _with_libraries(program: ProgramPlan, library_path: str) -> ProgramPlan:
    """An executable that names its libpython by the host's path finds it so."""
    return replace(program, env=(*program.env, ("LD_LIBRARY_PATH", library_path)))
