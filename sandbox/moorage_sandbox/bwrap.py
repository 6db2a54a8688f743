"""Plans of the level "full-bwrap": bubblewrap makes namespaces and root, and the worker seals itself inside. Pure.

For machines whose AppArmor lets bwrap make namespaces and nothing else. bwrap closes no descriptors, sets no limits,
does no Landlock and has no noexec; run by root it leaves its program as root. So it is the outer half alone, and what
runs in it is the same last stage that every worker goes through.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterable, List, Tuple

from moorage_sandbox.plan import WorkerPlan, ZygotePlan

#: Where bwrap finds its options and the files of /etc: descriptors, so that no path stands in an argument.
OPTIONS_FD = 8
FIRST_FILE_FD = 9

#: What the last stage needs to become another user (as root) and to empty the bounding set.
_CAPABILITIES = ("CAP_SETPCAP",)
_ROOTS_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", *_CAPABILITIES)

_BINDS = {"read": "--ro-bind", "socket": "--ro-bind", "data": "--bind", "device": "--dev-bind"}
_BINDS.update({"files": "--ro-bind", "granted device": "--dev-bind"})


def worker_plan(full: WorkerPlan, base: ZygotePlan, program: str, *, as_root: bool) -> WorkerPlan:
    """``program``: path of bwrap. ``as_root``: the host is root; the worker's user is then no root anywhere."""
    made = replace(full, level="full-bwrap", start="fresh", user_namespace=not as_root, own_root=None)
    return replace(made, wrapper=(program, "--args", str(OPTIONS_FD)), options=_options(made, base))


def _options(worker: WorkerPlan, base: ZygotePlan) -> Tuple[str, ...]:
    """What bwrap reads from OPTIONS_FD."""
    return (
        *_namespaces(worker),
        *_capabilities(worker),
        *("--die-with-parent", "--new-session", "--clearenv", "--chdir", "/"),
        *("--setenv", "LD_LIBRARY_PATH", worker.library_path),
        *_tree(worker, base),
        *("--remount-ro", "/"),
    )


def _namespaces(worker: WorkerPlan) -> List[str]:
    result = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    result += ["--hostname", worker.host_name]
    if worker.user_namespace:
        result += ["--unshare-user", "--uid", str(worker.uid), "--gid", str(worker.gid)]
    return result


def _capabilities(worker: WorkerPlan) -> List[str]:
    result = ["--cap-drop", "ALL"]
    for name in _CAPABILITIES if worker.user_namespace else _ROOTS_CAPABILITIES:
        result += ["--cap-add", name]
    return result


def _folders(paths: Iterable[str]) -> Tuple[str, ...]:
    """All folders above the paths, the outer ones first."""
    found: Dict[str, None] = {}
    for path in paths:
        parts = path.strip("/").split("/")[: None if path.endswith("/") else -1]
        for count in range(1, len(parts) + 1):
            found["/" + "/".join(parts[:count])] = None
    return tuple(sorted(found))


def _tree(worker: WorkerPlan, base: ZygotePlan) -> List[str]:
    result: List[str] = []
    mounts = (*base.mounts, *worker.mounts, *worker.openings)
    targets = (*(path for path, _ in base.links), *(mount.target for mount in mounts))
    # What it makes by itself on the way to a mount may be entered by its own user alone.
    for folder in _folders((*targets, "/etc/")):
        result += ["--perms", "0755", "--dir", folder]
    for path, target in base.links:
        result += ["--symlink", target, path]
    for mount in mounts:
        result += [_BINDS[mount.access], mount.source, mount.target]
    for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - mount points of the worker's own root
        # bwrap 0.8 has sizes; the mode lets another user than the one that runs bwrap write.
        result += ["--perms", "1777", "--size", str(worker.tmp_bytes), "--tmpfs", folder]
    for number, (name, _) in enumerate(worker.etc):
        result += ["--perms", "0644", "--file", str(FIRST_FILE_FD + number), f"/etc/{name}"]
    return result
