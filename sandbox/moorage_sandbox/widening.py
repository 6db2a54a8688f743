"""What an operator has granted a worker beyond the sandbox that every worker gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class Widening:
    """Made from grants by ``moorage.supervisor.widening``. Takes effect when a worker starts."""

    #: Programs may be executed and processes made, all inside the same sandbox.
    subprocess: bool = False
    #: The worker sees its own entries of /proc.
    proc: bool = False
    #: The host serves a listening socket in its own network, over which it reaches the hosts that were granted.
    net: bool = False
    #: Absolute paths as they were granted: a file, or a folder with "/**" at its end.
    files: Tuple[str, ...] = ()
    #: Paths of device nodes.
    devices: Tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != NONE


NONE = Widening()


@dataclass(frozen=True)
class Opening:
    """A file, folder or device of this machine that a worker gets to see."""

    #: Where it is, with every symbolic link resolved.
    source: str
    #: Where the worker sees it: the path that was granted.
    target: str
    #: "files": read-only, nothing executes. "granted device": a device node, with its requests.
    access: str
    #: Device and inode of what was looked at; (): nobody looked.
    identity: Tuple[int, ...] = ()
