"""From grants to what a worker sees beyond the usual sandbox, and from granted paths to what they are here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from moorage.errors import Conflict
from moorage_proto.capability import DEVICE, FILES_READ, SANDBOX_VERBS, WHOLE_FOLDER, Capability, Grants
from moorage_sandbox.widening import Opening, Widening

#: Trees of the kernel's, and of sockets: none of it is a file in the sense of this grant.
_NO_FILES = ("/proc", "/sys", "/dev", "/run", "/var/run")
#: Paths inside the sandbox that are taken: nothing can be put there, or below it.
_TAKEN = ("/venv", "/plugin", "/data", "/run", "/py", "/sdk", "/runtime", "/proc", "/sys", "/dev/shm")  # noqa: S108
#: Files are put below these, but not in their place.
_OWN = ("/tmp", "/etc", "/usr", "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/dev")  # noqa: S108 - inside the sandbox
#: Looked at in a granted folder, at most, in search of sockets.
_MOST_ENTRIES = 20_000
#: Character devices that stand for the whole machine, for its memory or for people's terminals; by major and minor
#: number, None for every minor (Documentation/admin-guide/devices.txt).
_DEVICES_REFUSED = {
    (1, 1): "it is the machine's memory",
    (1, 2): "it is the kernel's memory",
    (1, 4): "it is the machine's input and output ports",
    (1, 11): "it is the kernel's log",
    (4, None): "it is a terminal",
    (5, None): "it is a terminal",
    (10, 223): "it makes input devices",
    (10, 229): "it mounts file systems",
    (10, 237): "it makes block devices",
}


class GrantUnusable(Conflict):
    """A path that was granted cannot be shown to a plugin."""

    code = "grant_unusable"

    def __init__(self, capability: Capability, why: str) -> None:
        super().__init__(
            f"What {capability} names cannot be given to a plugin: {why}. Revoke it, and grant another path."
        )


class WideningUnavailable(Conflict):
    """What was granted needs namespaces that are made here."""

    code = "widening_unavailable"

    def __init__(self, installation: str, level: str) -> None:
        super().__init__(
            f"{installation} was granted sandbox.subprocess, sandbox.proc, files or devices: a worker at the level"
            f" {level!r} cannot be given them, only one at 'full'. Revoke them, or let this machine make 'full'; see:"
            " moorage doctor"
        )


def widening_of(grants: Grants) -> Widening:
    """What the grants open beyond the usual sandbox. Two that are equal need no other worker. Pure.

    A deny of a part of a folder takes the whole of it away: the kernel shows a folder or does not.
    """
    rights = [right for right in grants.allow if right.verb in SANDBOX_VERBS and not _denied(right, grants.deny)]
    verbs = {right.verb for right in rights}
    return Widening(
        subprocess="sandbox.subprocess" in verbs,
        proc="sandbox.proc" in verbs,
        files=tuple(sorted({right.resource for right in rights if right.verb == FILES_READ})),
        devices=tuple(sorted({right.resource for right in rights if right.verb == DEVICE})),
    )


def _denied(right: Capability, deny: Iterable[Capability]) -> bool:
    return any(rule.verb == right.verb and _overlap(_path(rule), _path(right)) for rule in deny)


def _path(right: Capability) -> PurePosixPath:
    return PurePosixPath(right.resource.removesuffix(WHOLE_FOLDER) or "/")


def _overlap(first: PurePosixPath, second: PurePosixPath) -> bool:
    """One is the other, or lies in it."""
    return first.is_relative_to(second) or second.is_relative_to(first)


def openings_of(widening: Widening, private: Iterable[Path]) -> tuple[Opening, ...]:
    """The files, folders and devices that were granted, with every symbolic link resolved.

    ``private``: folders of the host's own, none of which may be seen. Looks at the file system: about a millisecond for
    each thousand entries of a granted folder. Raises GrantUnusable.
    """
    own = tuple(PurePosixPath(os.path.realpath(folder)) for folder in private)
    files = (_file(Capability(FILES_READ, text), own) for text in widening.files)
    devices = (_device(Capability(DEVICE, text)) for text in widening.devices)
    # A folder before what lies in it: else it would cover that.
    return tuple(sorted((*files, *devices), key=lambda opening: opening.target))


def _file(capability: Capability, private: tuple[PurePosixPath, ...]) -> Opening:
    target = _path(capability)
    _check_target(capability, target)
    source, status = _resolved(capability, target)
    if source == PurePosixPath("/") or any(source.is_relative_to(tree) for tree in _NO_FILES):
        raise GrantUnusable(capability, f"{source} holds no files of this machine, but doors to it")
    if any(_overlap(source, folder) for folder in private):
        raise GrantUnusable(capability, f"{source} holds folders of Moorage's own, or lies in one")
    folder = capability.resource.endswith(WHOLE_FOLDER)
    if folder and not stat.S_ISDIR(status.st_mode):
        raise GrantUnusable(capability, f"{source} is no folder; leave {WHOLE_FOLDER} away")
    if not folder and stat.S_ISDIR(status.st_mode):
        raise GrantUnusable(capability, f"{source} is a folder; write {WHOLE_FOLDER} at its end")
    if not folder and not stat.S_ISREG(status.st_mode):
        raise GrantUnusable(capability, f"{source} is no ordinary file")
    if folder:
        _check_no_sockets(capability, str(source))
    return Opening(str(source), str(target), "files")


def _check_target(capability: Capability, target: PurePosixPath) -> None:
    for place in map(PurePosixPath, _TAKEN):
        if _overlap(target, place):
            raise GrantUnusable(capability, f"the sandbox has a {place} of its own")
    for place in map(PurePosixPath, _OWN):
        if place.is_relative_to(target):
            raise GrantUnusable(capability, f"the sandbox has a {place} of its own")


def _resolved(capability: Capability, path: PurePosixPath) -> tuple[PurePosixPath, os.stat_result]:
    try:
        source = os.path.realpath(path, strict=True)
        return PurePosixPath(source), os.stat(source)  # noqa: PTH116 - beside realpath, which pathlib has not strict
    except OSError as error:
        raise GrantUnusable(capability, f"{path}: {error.strerror}") from error


def _check_no_sockets(capability: Capability, folder: str) -> None:
    """Who sees a socket can connect to it, read-only or not: a database's, or a container engine's."""
    for seen, (path, is_socket) in enumerate(_entries(folder), 1):
        if is_socket:
            raise GrantUnusable(capability, f"{path} is a socket, through which a plugin could leave its sandbox")
        if seen > _MOST_ENTRIES:
            raise GrantUnusable(capability, f"it holds more than {_MOST_ENTRIES:,} entries; name a folder further down")


def _entries(folder: str) -> Iterator[tuple[str, bool]]:
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    mode = entry.stat(follow_symlinks=False).st_mode
                    yield entry.path, stat.S_ISSOCK(mode)
        except OSError:
            # Gone meanwhile, or not to be read by the host: then not by the plugin either.
            continue


def _device(capability: Capability) -> Opening:
    target = _path(capability)
    source, status = _resolved(capability, target)
    if not stat.S_ISCHR(status.st_mode):
        raise GrantUnusable(capability, f"{source} is no character device")
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    why = _DEVICES_REFUSED.get((major, minor)) or _DEVICES_REFUSED.get((major, None))
    if why is None and 136 <= major <= 143:
        why = "it is a terminal"
    if why is not None:
        raise GrantUnusable(capability, why)
    if not source.is_relative_to("/dev") or any(_overlap(target, PurePosixPath(path)) for path in _TAKEN):
        raise GrantUnusable(capability, f"{source} lies outside of /dev, or in a place of the sandbox's own")
    return Opening(str(source), str(target), "granted device")
