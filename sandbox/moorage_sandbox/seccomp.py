"""The worker's one system call filter, assembled from the lists. Pure: names and numbers in, a program out."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping

from moorage_sandbox import bpf, lists
from moorage_sandbox.bpf import ALLOW, KILL_PROCESS, Block, Instruction, answer, errno_answer, high_word, load, low_word

#: AUDIT_ARCH_* (linux/audit.h).
ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

#: On x86_64: numbers from here on are the x32 ABI, another door to the same kernel.
X32_BIT = 0x4000_0000

_REFUSED = answer(errno_answer(lists.EPERM))
_ALLOWED = answer(ALLOW)
_EAFNOSUPPORT = 97
_ENOTTY = 25

#: CLONE_NEW*; clone3 keeps its flags in memory, where a filter cannot look.
_NEW_NAMESPACES = 0x7E02_0000
_CLONE_THREAD = 0x0001_0000

_AF_UNIX = 1
#: SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET; the mask takes SOCK_NONBLOCK and SOCK_CLOEXEC away.
_SOCKET_TYPES = (1, 2, 5)
_SOCKET_TYPE_MASK = 0xF

#: TCGETS, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, TIOCGWINSZ.
IOCTLS = (0x5401, 0x541B, 0x5421, 0x5451, 0x5450, 0x5413)

#: PR_ GET_PDEATHSIG, GET_DUMPABLE, SET_NAME, GET_NAME, GET_SECCOMP, CAPBSET_READ, SET_NO_NEW_PRIVS,
#: GET_NO_NEW_PRIVS, GET_SPECULATION_CTRL, SET_VMA.
PRCTLS = (2, 3, 15, 16, 21, 23, 38, 39, 52, 0x5356_4D41)

#: F_SETOWN, F_SETSIG, F_SETOWN_EX, F_NOTIFY: ways to have the kernel send signals.
FCNTLS_REFUSED = (8, 10, 15, 1026)

#: O_CREAT and O_TMPFILE: only with them does open read its mode argument.
_O_CREATES = 0o100 | 0o20000000
_SETUID_SETGID = 0o6000


def program(machine: str, numbers: Mapping[str, int]) -> bytes:
    """The filter as an array of struct sock_filter, for one machine and its table of numbers."""
    return bpf.encode(instructions(machine, numbers))


def instructions(machine: str, numbers: Mapping[str, int]) -> List[Instruction]:
    """Another architecture's calls kill; then the argument rules; then the lists; the rest does not exist."""
    result = [*_native_only(machine), *load(bpf.NUMBER)]
    if machine == "x86_64":
        result += [Instruction(bpf.JUMP_IF_AT_LEAST, X32_BIT, 0, 1), *answer(KILL_PROCESS)]
    rules = argument_rules()
    for name, rule in rules.items():
        if name in numbers:
            result += bpf.when_equal(numbers[name], rule)
    result += bpf.when_number_in(_known(lists.ALLOW, numbers), ALLOW)
    result += bpf.when_number_in(_known(lists.REFUSE, numbers), errno_answer(lists.EPERM))
    result += bpf.when_number_in(_known(lists.KILL, numbers), KILL_PROCESS)
    return [*result, *answer(errno_answer(lists.ENOSYS))]


def _native_only(machine: str) -> Block:
    right = Instruction(bpf.JUMP_IF_EQUAL, ARCHITECTURES[machine], 1, 0)
    return (*load(bpf.ARCHITECTURE), right, *answer(KILL_PROCESS))


def _known(names: Iterable[str], numbers: Mapping[str, int]) -> List[int]:
    return [numbers[name] for name in names if name in numbers]


def argument_rules() -> Dict[str, Block]:
    """For each call that its arguments decide: a block that always ends in an answer."""
    return {
        "clone": (
            *load(low_word(0)),
            *bpf.when_any_bit(_NEW_NAMESPACES, _REFUSED),
            *bpf.when_any_bit(_CLONE_THREAD, _ALLOWED),
            *_REFUSED,
        ),
        # EPERM instead of ENOSYS would keep glibc from starting threads (moby#42680).
        "clone3": answer(errno_answer(lists.ENOSYS)),
        "socket": (
            *load(low_word(0)),
            *bpf.when_equal(
                _AF_UNIX,
                (
                    *load(low_word(1)),
                    Instruction(bpf.AND, _SOCKET_TYPE_MASK),
                    *bpf.when_one_of(_SOCKET_TYPES, _ALLOWED),
                    *_REFUSED,
                ),
            ),
            *answer(errno_answer(_EAFNOSUPPORT)),
        ),
        "socketpair": (
            *load(low_word(0)),
            *bpf.when_equal(_AF_UNIX, _ALLOWED),
            *answer(errno_answer(_EAFNOSUPPORT)),
        ),
        # The kernel looks at the low 32 bits alone: so does this (CVE-2019-10063).
        "ioctl": (*load(low_word(1)), *bpf.when_one_of(IOCTLS, _ALLOWED), *answer(errno_answer(_ENOTTY))),
        "prctl": (*load(low_word(0)), *bpf.when_one_of(PRCTLS, _ALLOWED), *_REFUSED),
        "fcntl": (*load(low_word(1)), *bpf.when_one_of(FCNTLS_REFUSED, _REFUSED), *_ALLOWED),
        # Reading limits, not setting them: the pointer to new ones is null.
        "prlimit64": (
            *load(low_word(2)),
            *bpf.when_equal(0, (*load(high_word(2)), *bpf.when_equal(0, _ALLOWED))),
            *_REFUSED,
        ),
        "open": _plain_mode_if_creating(flags=1, mode=2),
        "openat": _plain_mode_if_creating(flags=2, mode=3),
        "creat": _plain_mode(1),
        "mkdir": _plain_mode(1),
        "mkdirat": _plain_mode(2),
        "chmod": _plain_mode(1),
        "fchmod": _plain_mode(1),
        "fchmodat": _plain_mode(2),
    }


def _plain_mode(argument: int) -> Block:
    return (*load(low_word(argument)), *bpf.when_any_bit(_SETUID_SETGID, _REFUSED), *_ALLOWED)


def _plain_mode_if_creating(flags: int, mode: int) -> Block:
    return (*load(low_word(flags)), *bpf.when_any_bit(_O_CREATES, _plain_mode(mode)), *_ALLOWED)
