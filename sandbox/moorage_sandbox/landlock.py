"""Landlock: the kernel's file rules of one process, which also hold where a mount namespace would not (landlock(7)).

It does not cover stat, chmod, chdir or, before ABI 9, connecting to a socket by its path: the mount namespace does.
"""

# ruff: noqa: PTH116 - pathlib costs milliseconds in every fresh worker

from __future__ import annotations

import errno
import os
import stat
from typing import Dict, Iterable, Tuple

from moorage_sandbox.syscalls import syscall

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_REMOVE_DIR = 1 << 4
_REMOVE_FILE = 1 << 5
_MAKE_DIR = 1 << 7
_MAKE_REG = 1 << 8
_MAKE_SOCK = 1 << 9
_MAKE_FIFO = 1 << 10
_REFER = 1 << 13
_TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15
_RESOLVE_UNIX = 1 << 16

_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV | _RESOLVE_UNIX

#: The right to execute is given to workers that may have processes alone: only execve asks for it, loading a shared
#: library does not.
ACCESS = {
    "read": _READ_FILE | _READ_DIR,
    "execute": _READ_FILE | _READ_DIR | _EXECUTE,
    "socket": _READ_FILE | _READ_DIR | _RESOLVE_UNIX,
    # No MAKE_SYM: the host may look into the data folder one day.
    "write": (
        _READ_FILE
        | _READ_DIR
        | _WRITE_FILE
        | _REMOVE_DIR
        | _REMOVE_FILE
        | _MAKE_DIR
        | _MAKE_REG
        | _MAKE_FIFO
        | _MAKE_SOCK
        | _REFER
        | _TRUNCATE
    ),
    "device": _READ_FILE | _WRITE_FILE,
    "granted device": _READ_FILE | _WRITE_FILE | _IOCTL_DEV,
}

_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_RULE_NET_PORT = 2
#: LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP; with no rule that allows a port, all TCP is refused.
_TCP = 3
_CONNECT_TCP = 2
#: LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and _SIGNAL.
_SCOPES = 3


def abi() -> int:
    """The kernel's Landlock version; 0 when it has none or it is switched off."""
    try:
        return syscall("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def handled_rights(version: int) -> int:
    """The file rights that an ABI knows; a right that it does not know makes the kernel refuse the ruleset."""
    count = 13 if version < 2 else 14 if version < 3 else 15 if version < 5 else 16 if version < 9 else 17
    return (1 << count) - 1


def coverage(version: int) -> Dict[str, bool]:
    """What an ABI holds: files, TCP, signals and abstract sockets, and connecting to sockets by their paths."""
    return {"fs": version >= 1, "tcp": version >= 4, "scopes": version >= 6, "unix": version >= 9}


def ruleset_attribute(version: int) -> bytes:
    """struct landlock_ruleset_attr in the size that an ABI knows."""
    words = (handled_rights(version), _TCP, _SCOPES)
    size = 8 if version < 4 else 16 if version < 6 else 24
    return b"".join(word.to_bytes(8, "little") for word in words)[:size]


def restrict(rules: Iterable[Tuple[str, str]], tcp_port: int = 0) -> int:
    """Forbids this thread every file but those below the paths, each with one of ACCESS, and all TCP but connecting to
    this one port, if it is not 0.

    Needs no_new_privs. Returns the kernel's ABI; with 0 nothing was done.
    """
    version = abi()
    if version == 0:
        return 0
    attribute = ruleset_attribute(version)
    ruleset = syscall("landlock_create_ruleset", attribute, len(attribute), 0)
    try:
        for path, access in rules:
            _allow(ruleset, path, ACCESS[access] & handled_rights(version))
        if tcp_port and coverage(version)["tcp"]:
            rule = _CONNECT_TCP.to_bytes(8, "little") + tcp_port.to_bytes(8, "little")
            syscall("landlock_add_rule", ruleset, _RULE_NET_PORT, rule, 0)
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.stat(fd).st_mode):
            rights &= _ON_FILES
        rule = rights.to_bytes(8, "little") + fd.to_bytes(4, "little")
        syscall("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(fd)
