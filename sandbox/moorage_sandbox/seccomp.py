"""The worker's one system call filter, assembled from the lists. Pure: names and numbers in, a program out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Tuple

from moorage_sandbox import bpf, lists
from moorage_sandbox.bpf import (
    ALLOW,
    KILL_PROCESS,
    USER_NOTIF,
    Block,
    Instruction,
    answer,
    errno_answer,
    high_word,
    load,
    low_word,
)

#: AUDIT_ARCH_* (linux/audit.h).
ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

#: On x86_64: numbers from here on are the x32 ABI, another door to the same kernel.
X32_BIT = 0x4000_0000

_ALLOWED = answer(ALLOW)
_EAFNOSUPPORT = 97
_ENOTTY = 25

#: CLONE_NEW*; clone3 keeps its flags in memory, where a filter cannot look.
_NEW_NAMESPACES = 0x7E02_0000
_CLONE_THREAD = 0x0001_0000
_CLONE_FILES = 0x0000_0400
#: A flag of close_range(2).
_CLOSE_RANGE_UNSHARE = 2

_AF_UNIX = 1
_AF_INET = 2
_SOCK_STREAM = 1
#: IPPROTO_TCP, and what means the same for a stream.
_TCP_PROTOCOLS = (0, 6)
#: Options of sockets that may be set where there is TCP, by level: SOL_SOCKET, all; IPPROTO_IP: IP_TOS; IPPROTO_TCP:
#: TCP_ NODELAY, MAXSEG, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, QUICKACK, USER_TIMEOUT. Others load modules of the kernel
#: (TCP_ULP, TCP_CONGESTION), or look into it.
_SOL_SOCKET = 1
_SOCKET_OPTIONS = {0: (1,), 6: (1, 2, 3, 4, 5, 6, 12, 18)}
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

#: Groups of ioctl requests, by their second byte, that no granted device may stand for: terminals and tun, flags and
#: attributes of files, cloning, network interfaces, block devices.
IOCTL_GROUPS_REFUSED = (0x5400, 0x6600, 0x5800, 0x9400, 0x8900, 0x1200)
_IOCTL_GROUP_MASK = 0xFF00


@dataclass(frozen=True)
class Variant:
    """How one worker's filter differs from another's."""

    #: Forbidden calls wait for the host, which names them and kills. False: the kernel kills, and nobody is told which.
    listener: bool = False
    #: Forbidden and refused calls fail with EPERM; the host, where it listens, names them in the log.
    development: bool = False
    #: Programs may be executed and processes made.
    subprocess: bool = False
    #: It may connect by TCP over IPv4, in its own network.
    net: bool = False
    #: A device was granted: its requests pass.
    devices: bool = False
    #: It stays the host's user, on the host's file system.
    shared_user: bool = False

    @property
    def forbidden(self) -> int:
        """The answer to a call of the list KILL."""
        if self.listener:
            return USER_NOTIF
        return errno_answer(lists.EPERM) if self.development else KILL_PROCESS

    def refused(self, errno: int = lists.EPERM) -> int:
        """The answer to a call that is not permitted."""
        return USER_NOTIF if self.development and self.listener else errno_answer(errno)


PLAIN = Variant()


def program(machine: str, numbers: Mapping[str, int], variant: Variant = PLAIN) -> bytes:
    """The filter as an array of struct sock_filter, for one machine and its table of numbers."""
    return bpf.encode(instructions(machine, numbers, variant))


def instructions(machine: str, numbers: Mapping[str, int], variant: Variant = PLAIN) -> List[Instruction]:
    """Another architecture's calls kill; then the argument rules; then the lists; the rest does not exist."""
    result = _beginning(machine)
    for name, rule in argument_rules(variant).items():
        if name in numbers:
            result += bpf.when_equal(numbers[name], rule)
    allowed, refused = allowed_and_refused(variant)
    result += bpf.when_number_in(_known(allowed, numbers), ALLOW)
    result += bpf.when_number_in(_known(refused, numbers), variant.refused())
    result += bpf.when_number_in(_known(lists.KILL, numbers), variant.forbidden)
    return [*result, *answer(errno_answer(lists.ENOSYS))]


def init_program(machine: str, numbers: Mapping[str, int]) -> bytes:
    """For the first process of a worker that may have others: it waits, tells how the plugin ended, and ends."""
    wanted = bpf.when_number_in(_known(lists.INIT, numbers), ALLOW)
    return bpf.encode([*_beginning(machine), *wanted, *answer(errno_answer(lists.EPERM))])


def allowed_and_refused(variant: Variant) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """The names that pass and those that are refused, whatever their arguments."""
    if not variant.subprocess:
        return lists.ALLOW, lists.REFUSE
    refused = tuple(name for name in lists.REFUSE if name not in lists.SUBPROCESS)
    return lists.ALLOW + lists.SUBPROCESS, refused


def _beginning(machine: str) -> List[Instruction]:
    result = [*_native_only(machine), *load(bpf.NUMBER)]
    if machine == "x86_64":
        result += [Instruction(bpf.JUMP_IF_AT_LEAST, X32_BIT, 0, 1), *answer(KILL_PROCESS)]
    return result


def _native_only(machine: str) -> Block:
    right = Instruction(bpf.JUMP_IF_EQUAL, ARCHITECTURES[machine], 1, 0)
    return (*load(bpf.ARCHITECTURE), right, *answer(KILL_PROCESS))


def _known(names: Iterable[str], numbers: Mapping[str, int]) -> List[int]:
    return [numbers[name] for name in names if name in numbers]


def argument_rules(variant: Variant = PLAIN) -> Dict[str, Block]:
    """For each call that its arguments decide: a block that always ends in an answer."""
    refused, no_family = answer(variant.refused()), answer(variant.refused(_EAFNOSUPPORT))
    plain_mode = {"open": (2, 1), "openat": (3, 2)}
    always_mode = {"creat": 1, "mkdir": 1, "mkdirat": 2, "chmod": 1, "fchmod": 1, "fchmodat": 2}
    return {
        "clone": _clone(variant, refused),
        # EPERM instead of ENOSYS would keep glibc from starting threads (moby#42680).
        "clone3": answer(errno_answer(lists.ENOSYS)),
        "close_range": (*load(low_word(2)), *bpf.when_any_bit(_CLOSE_RANGE_UNSHARE, refused), *_ALLOWED),
        "socket": (
            *load(low_word(0)),
            *bpf.when_equal(
                _AF_UNIX,
                (
                    *load(low_word(1)),
                    Instruction(bpf.AND, _SOCKET_TYPE_MASK),
                    *bpf.when_one_of(_SOCKET_TYPES, _ALLOWED),
                    *refused,
                ),
            ),
            *(_tcp_socket(refused) if variant.net else ()),
            *no_family,
        ),
        **({"setsockopt": _setsockopt(refused)} if variant.net else {}),
        "socketpair": (*load(low_word(0)), *bpf.when_equal(_AF_UNIX, _ALLOWED), *no_family),
        "ioctl": _ioctl(variant),
        "prctl": (*load(low_word(0)), *bpf.when_one_of(PRCTLS, _ALLOWED), *refused),
        "fcntl": (*load(low_word(1)), *bpf.when_one_of(FCNTLS_REFUSED, refused), *_ALLOWED),
        # Reading limits, not setting them: the pointer to new ones is null.
        "prlimit64": (
            *load(low_word(2)),
            *bpf.when_equal(0, (*load(high_word(2)), *bpf.when_equal(0, _ALLOWED))),
            *refused,
        ),
        **{name: _mode_if_creating(flags, mode, refused) for name, (mode, flags) in plain_mode.items()},
        **{name: _mode(argument, refused) for name, argument in always_mode.items()},
        **(_of_shared_user(refused) if variant.shared_user else {}),
    }


def _tcp_socket(refused: Block) -> Block:
    """After the family is loaded."""
    is_tcp = (*load(low_word(2)), *bpf.when_one_of(_TCP_PROTOCOLS, _ALLOWED), *refused)
    stream = (
        *load(low_word(1)),
        Instruction(bpf.AND, _SOCKET_TYPE_MASK),
        *bpf.when_equal(_SOCK_STREAM, is_tcp),
        *refused,
    )
    return tuple(bpf.when_equal(_AF_INET, stream))


def _setsockopt(refused: Block) -> Block:
    result = [*load(low_word(1)), *bpf.when_equal(_SOL_SOCKET, _ALLOWED)]
    for level, options in _SOCKET_OPTIONS.items():
        result += bpf.when_equal(level, (*load(low_word(2)), *bpf.when_one_of(options, _ALLOWED), *refused))
    return (*result, *refused)


def _of_shared_user(refused: Block) -> Dict[str, Block]:
    """Nothing but itself may be moved between processors: for a thread of its own 0 says as much as its number."""
    itself = (*load(low_word(0)), *bpf.when_equal(0, _ALLOWED), *refused)
    return {name: itself if name == "sched_setaffinity" else refused for name in lists.OF_SHARED_USER}


def _clone(variant: Variant, refused: Block) -> Block:
    """A thread has the descriptors of its process: in a table of its own nobody who looks at the process sees them."""
    no_namespaces = (*load(low_word(0)), *bpf.when_any_bit(_NEW_NAMESPACES, refused))
    thread = bpf.when_any_bit(_CLONE_THREAD, (*bpf.when_any_bit(_CLONE_FILES, _ALLOWED), *refused))
    return (*no_namespaces, *thread, *(_ALLOWED if variant.subprocess else refused))


def _ioctl(variant: Variant) -> Block:
    """The kernel looks at the low 32 bits alone: so does this (CVE-2019-10063)."""
    known = (*load(low_word(1)), *bpf.when_one_of(IOCTLS, _ALLOWED))
    refused = answer(errno_answer(_ENOTTY))
    if not variant.devices:
        return (*known, *refused)
    group = Instruction(bpf.AND, _IOCTL_GROUP_MASK)
    return (*known, group, *bpf.when_one_of(IOCTL_GROUPS_REFUSED, refused), *_ALLOWED)


def _mode(argument: int, refused: Block) -> Block:
    return (*load(low_word(argument)), *bpf.when_any_bit(_SETUID_SETGID, refused), *_ALLOWED)


def _mode_if_creating(flags: int, mode: int, refused: Block) -> Block:
    return (*load(low_word(flags)), *bpf.when_any_bit(_O_CREATES, _mode(mode, refused)), *_ALLOWED)
