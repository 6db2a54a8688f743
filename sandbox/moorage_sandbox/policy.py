"""What every worker is held to, as data. The plan is made from it; nothing here is applied."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024

#: Stack of each thread but the main one. RLIMIT_DATA counts all of it, touched or not: with 8 MiB each, 30 threads use
#: up 256 MiB. 2 MiB bore the deepest recursion that CPython 3.9 to 3.13 let happen; 1 MiB did not with 3.13.
THREAD_STACK_BYTES = 2 * MEBIBYTE


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
    #: RLIMIT_STACK: that of the main thread.
    stack_bytes: int = 8 * MEBIBYTE
    #: RLIMIT_MEMLOCK.
    locked_bytes: int = MEBIBYTE
    #: What it calls its machine.
    host_name: str = "plugin"
    #: The user's and the group's name in its /etc.
    user_name: str = "plugin"


DEFAULT_POLICY = Policy()
