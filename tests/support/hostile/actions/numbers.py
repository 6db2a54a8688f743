"""Every system call number, with arguments that fail if the call is reached (after bubblewrap's try-syscall).

All arguments are -1: no such descriptor, no such address, no such flag. What comes back tells who answered: the filter
(EPERM, ENOSYS) or the kernel.
"""

from __future__ import annotations

import os
import signal
from typing import Callable, Dict, List

from attacks.world import World

from moorage_sandbox.numbers import NUMBERS

_NUMBERS = NUMBERS[os.uname().machine]

#: Calls that would end or stop the process that probes: each gets a process of its own, or is interrupted.
ENDS = ("exit", "exit_group", "rt_sigreturn")
_SUCCEEDED = 0


def probe(world: World, numbers: List[int]) -> Dict[str, int]:
    """Number to errno, 0 for success. The number in hand is written down first, for the case that it kills."""
    special = {_NUMBERS[name]: function for name, function in _SPECIAL.items() if name in _NUMBERS}
    diary = os.open(world.data("probe"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    answers = {}
    for number in numbers:
        os.pwrite(diary, b"%5d" % number, 0)
        answers[str(number)] = _answer(world, number, special.get(number, _plainly))
    return answers


def _answer(world: World, number: int, call: Callable[[World, int], None]) -> int:
    try:
        call(world, number)
    except OSError as error:
        return error.errno or 0
    return _SUCCEEDED


def _plainly(world: World, number: int) -> None:
    world.call_number(number, -1, -1, -1, -1, -1, -1)


def _interrupted(world: World, number: int) -> None:
    """For calls that wait whatever their arguments are."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    _plainly(world, number)


def _futex(world: World, number: int) -> None:
    """FUTEX_WAIT: with a command that it has not got, the kernel itself answers ENOSYS."""
    world.call_number(number, -1, 0, 0, 0, 0, 0)


_SPECIAL: Dict[str, Callable[[World, int], None]] = {"pause": _interrupted, "futex": _futex}
