"""From grants to what a worker sees beyond the usual sandbox, and from granted paths to what they are here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from moorage.errors import Conflict
from moorage_proto.capability import DEVICE, FILES_READ, NET_CONNECT, SANDBOX_VERBS, WHOLE_FOLDER, Capability, Grants
from moorage_sandbox.widening import Opening, Widening

#: Trees of the kernel's, and of sockets: none of it is a file in the sense of this grant.
_NO_FILES = ("/proc", "/sys", "/dev", "/run", "/var/run")
#: Paths inside the sandbox that are taken: nothing can be put there, or below it.
_TAKEN = ("/venv", "/plugin", "/data", "/run", "/py", "/sdk", "/runtime", "/proc", "/sys", "/dev/shm")  # noqa: S108
#: Files are put below these, but not in their place.
_OWN = ("/tmp", "/etc", "/usr", "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/dev")  # noqa: S108 - inside the sandbox
#: Looked at in a granted folder, at most, in search of sockets and named pipes.
_MOST_ENTRIES = 20_000
#: Character devices that stand for the whole machine, for its disks, or for people at it; by major and minor number,
#: None for every minor (Documentation/admin-guide/devices.txt).
_DEVICES_REFUSED: dict[tuple[int, int | None], str] = {
    (1, 1): "it is the machine's memory",
    (1, 2): "it is the kernel's memory",
    (1, 4): "it is the machine's input and output ports",
    (1, 11): "it is the kernel's log",
    (4, None): "it is a terminal",
    (5, None): "it is a terminal",
    (7, None): "it is what stands on the machine's screens",
    (9, None): "it is a tape",
    (10, 130): "it restarts the machine when it is closed",
    (10, 144): "it is the firmware's memory",
    (10, 203): "it makes devices",
    (10, 223): "it makes input devices",
    (10, 229): "it mounts file systems",
    (10, 231): "it is an image of the machine's memory",
    (10, 234): "it manages file systems",
    (10, 235): "it mounts file systems",
    (10, 236): "it makes block devices",
    (10, 237): "it makes block devices",
    (10, 239): "it makes input devices",
    (13, None): "it is a keyboard, a mouse, or the like",
    (21, None): "it is a disk, below its file systems",
    (90, None): "it is a flash memory, below its file systems",
    (162, None): "it is a disk, below its file systems",
    (202, None): "it is the processors' registers",
    **dict.fromkeys(((major, None) for major in range(136, 144)), "it is a terminal"),
}
#: The same where the kernel gives numbers as they come: by the subsystem that /sys/dev/char names.
_SUBSYSTEMS_REFUSED = {
    "bsg": "it is a disk, below its file systems",
    "hidraw": "it is a keyboard, a mouse, or the like",
    "nvme": "it is a disk, below its file systems",
    "nvme-generic": "it is a disk, below its file systems",
    "tty": "it is a terminal",
    "ubi": "it is a flash memory, below its file systems",
    "watchdog": "it restarts the machine when it is closed",
}


class GrantUnusable(Conflict):
    """A path that was granted cannot be shown to a plugin."""

    code = "grant_unusable"

    def __init__(self, capability: Capability, why: str) -> None:
        super().__init__(
            f"What {capability} names cannot be given to a plugin: {why}. Revoke it: moorage revoke NAME '{capability}'"
        )


class WideningUnavailable(Conflict):
    """What was granted needs namespaces that are made here."""

    code = "widening_unavailable"

    def __init__(self, installation: str, level: str) -> None:
        super().__init__(
            f"{installation} was granted connections (net.connect), sandbox.subprocess, sandbox.proc, files or devices:"
            f" a worker at the level {level!r} cannot be given them, only one at 'full'. Revoke them, or let this"
            " machine make 'full'; see: moorage doctor"
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
        net=any(right.verb == NET_CONNECT for right in grants.allow),
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
        _check_no_doors(capability, str(source))
    return Opening(str(source), str(target), "files", _identity(status))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


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


def _check_no_doors(capability: Capability, folder: str) -> None:
    """Who sees a socket or a named pipe can speak to who holds its other end, read-only or not: to a database's or a
    container engine's."""
    for seen, (path, mode) in enumerate(_entries(capability, folder), 1):
        kind = "socket" if stat.S_ISSOCK(mode) else "named pipe" if stat.S_ISFIFO(mode) else ""
        if kind:
            raise GrantUnusable(capability, f"{path} is a {kind}, through which a plugin could leave its sandbox")
        if seen > _MOST_ENTRIES:
            raise GrantUnusable(capability, f"it holds more than {_MOST_ENTRIES:,} entries; name a folder further down")


def _entries(capability: Capability, folder: str) -> Iterator[tuple[str, int]]:
    """Everything below it, with its mode."""
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            entries = os.scandir(place)
        except PermissionError:
            if os.access(place, os.X_OK):
                why = f"{place} cannot be listed, but what it holds can be opened by name"
                raise GrantUnusable(capability, why) from None
            continue  # closed to the host: then to the plugin too
        except OSError:
            continue  # gone meanwhile
        with entries as found:
            for entry in found:
                with suppress(OSError):  # gone meanwhile
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    yield entry.path, entry.stat(follow_symlinks=False).st_mode


def _device(capability: Capability) -> Opening:
    target = _path(capability)
    source, status = _resolved(capability, target)
    if not stat.S_ISCHR(status.st_mode):
        raise GrantUnusable(capability, f"{source} is no character device")
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    why = _DEVICES_REFUSED.get((major, minor)) or _DEVICES_REFUSED.get((major, None))
    why = why or _SUBSYSTEMS_REFUSED.get(_subsystem(major, minor))
    if why is not None:
        raise GrantUnusable(capability, why)
    if not source.is_relative_to("/dev") or any(_overlap(target, PurePosixPath(path)) for path in _TAKEN):
        raise GrantUnusable(capability, f"{source} lies outside of /dev, or in a place of the sandbox's own")
    return Opening(str(source), str(target), "granted device", _identity(status))


def _subsystem(major: int, minor: int) -> str:
    """As sysfs names it; "" where it does not."""
    return os.path.basename(os.path.realpath(f"/sys/dev/char/{major}:{minor}/subsystem"))  # noqa: PTH119 - of a link
