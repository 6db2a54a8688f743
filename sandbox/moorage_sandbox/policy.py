"""What every worker is held to, as data. The plan is made from it; nothing here is applied."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Policy:
    """Bounds of one worker that its manifest does not choose."""

    #: Size and number of files of /tmp, and of /dev/shm.
    tmp_bytes: int = 64 * MEBIBYTE
    tmp_files: int = 10_000
    #: RLIMIT_NOFILE.
    open_files: int = 1024
    #: RLIMIT_FSIZE: the largest file.
    file_bytes: int = 256 * MEBIBYTE
    #: RLIMIT_STACK of the main thread, and the default of others.
    stack_bytes: int = 8 * MEBIBYTE
    #: RLIMIT_MEMLOCK.
    locked_bytes: int = MEBIBYTE
    #: What it calls its machine.
    host_name: str = "plugin"
    #: The user's and the group's name in its /etc.
    user_name: str = "plugin"


DEFAULT_POLICY = Policy()
