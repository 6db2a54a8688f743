"""Takes layers away from a copy of the sandbox's code, below all of its modules: at its calls to the kernel.

Copied into a stage's own copy of ``moorage_sandbox``, and called by that copy's ``__init__``. The product has no such
door: what it ships is not changed, and a host verifies from outside what is in force.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, FrozenSet

from moorage_sandbox import syscalls

_HOST = b"/.host"
_NAMESPACES = {
    "pid": syscalls.CLONE_NEWPID,
    "network": syscalls.CLONE_NEWNET,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
}
_WRITABLE_IF_DROPPED = (b"/venv", b"/plugin", b"/run/host")
_EXECUTABLE_IF_DROPPED = (b"/data", b"/tmp", b"/dev/shm")
_SIZED = (b"/tmp", b"/dev/shm")
_TMPFS_OPTIONS = {"mount.sizes": b"size", "mount.files": b"nr_inodes"}

_PR_SET_KEEPCAPS = 8
_CAPABILITY_VERSION_3 = 0x2008_0522
#: A filter of one instruction: allow.
_ALLOW_ALL = (6).to_bytes(2, "little") + bytes(2) + (0x7FFF_0000).to_bytes(4, "little")


class _Below:
    """Stands in the place of ``syscalls.syscall``; some calls are changed, some are answered and not made."""

    def __init__(self, dropped: FrozenSet[str]) -> None:
        self._dropped = dropped
        self._real = syscalls.syscall

    def __call__(self, name: str, *arguments: Any) -> int:
        change = getattr(self, f"_{name}", None)
        return self._real(name, *arguments) if change is None else change(*arguments)

    def _unshare(self, flags: int) -> int:
        for layer, flag in _NAMESPACES.items():
            if layer in self._dropped:
                flags &= ~flag
        return self._real("unshare", flags) if flags else 0

    def _setns(self, fd: int, kind: int) -> int:
        if "pid" in self._dropped and kind == syscalls.CLONE_NEWPID:
            return 0
        return self._real("setns", fd, kind)

    def _sethostname(self, *arguments: Any) -> int:
        return 0 if "uts" in self._dropped else self._real("sethostname", *arguments)

    def _umount2(self, target: bytes, flags: int) -> int:
        if "mount" in self._dropped and target == _HOST:
            return 0
        return self._real("umount2", target, flags)

    def _mount(self, source: Any, target: bytes, kind: Any, flags: int, options: Any) -> int:
        if "mount.read-only" in self._dropped and target in _WRITABLE_IF_DROPPED:
            flags &= ~syscalls.MS_RDONLY
        if "mount.noexec" in self._dropped and target in _EXECUTABLE_IF_DROPPED:
            flags &= ~syscalls.MS_NOEXEC
        if kind == b"tmpfs" and target in _SIZED:
            left_out = [name for layer, name in _TMPFS_OPTIONS.items() if layer in self._dropped]
            options = b",".join(option for option in options.split(b",") if option.partition(b"=")[0] not in left_out)
        return self._real("mount", source, target, kind, flags, options)

    def _landlock_restrict_self(self, *arguments: Any) -> int:
        return 0 if "landlock" in self._dropped else self._real("landlock_restrict_self", *arguments)

    def _seccomp(self, operation: int, flags: int, program: Any) -> int:
        if "seccomp" in self._dropped and operation == syscalls.SECCOMP_SET_MODE_FILTER:
            allow = syscalls.Buffer(_ALLOW_ALL)
            header = syscalls.Buffer((1).to_bytes(8, "little") + allow.address.to_bytes(8, "little"))
            return self._real("seccomp", operation, flags, header.address)
        return self._real("seccomp", operation, flags, program)

    def _capset(self, *arguments: Any) -> int:
        return 0 if "privileges" in self._dropped else self._real("capset", *arguments)

    def _prctl(self, option: int, *arguments: Any) -> int:
        privileges = (syscalls.PR_CAPBSET_DROP, 38)
        if "privileges" in self._dropped and option in privileges:
            # Without capabilities (a user whose namespaces are all gone) no filter loads without it.
            return 0
        return self._real("prctl", option, *arguments)

    def _close_range(self, *arguments: Any) -> int:
        return 0 if "descriptors" in self._dropped else self._real("close_range", *arguments)

    def keep_capabilities(self) -> None:
        """Changing from root to a user drops them, unless this is said before and they are raised again after."""
        change_user = os.setresuid

        def keeping(*uids: int) -> None:
            self._real("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
            change_user(*uids)
            header = _CAPABILITY_VERSION_3.to_bytes(4, "little") + bytes(4)
            sets = (ctypes.c_uint32 * 6)()
            self._real("capget", header, ctypes.addressof(sets))
            # Effective, permitted, inheritable; low and high words.
            sets[0], sets[3] = sets[1], sets[4]
            self._real("capset", header, ctypes.addressof(sets))

        os.setresuid = keeping  # type: ignore[assignment]


def drop(layers: FrozenSet[str]) -> None:
    """From now on this process, and what it makes, lacks these layers."""
    below = _Below(layers)
    syscalls.syscall = below  # type: ignore[assignment]
    if "privileges" in layers:
        below.keep_capabilities()
    if "limits" in layers:
        _leave_limits()
    if "environment" in layers:
        _keep_environment()


def _leave_limits() -> None:
    from moorage_sandbox import confine

    confine.set_limits = lambda _: None


def _keep_environment() -> None:
    """Through every change of image, and at the last clearing."""
    execute = os.execve
    os.execve = lambda path, arguments, env: execute(path, arguments, {**os.environ, **env})  # type: ignore[assignment]
    os.environ.clear = lambda: None  # type: ignore[method-assign]
