"""An assembler for the classic BPF that seccomp filters are written in (seccomp(2), linux/bpf_common.h)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Iterable, List, Sequence, Tuple

# What a filter may answer (linux/seccomp.h).
ALLOW = 0x7FFF_0000
KILL_PROCESS = 0x8000_0000
#: The call waits until whoever holds the filter's listener answers; without one it fails with ENOSYS.
USER_NOTIF = 0x7FC0_0000
_ERRNO = 0x0005_0000

# Operations (linux/bpf_common.h).
LOAD_WORD = 0x20
AND = 0x54
JUMP = 0x05
JUMP_IF_EQUAL = 0x15
JUMP_IF_AT_LEAST = 0x35
JUMP_IF_ANY_BIT = 0x45
RETURN = 0x06

# Offsets in struct seccomp_data.
NUMBER = 0
ARCHITECTURE = 4
_ARGUMENTS = 16

#: Jump distances are one byte.
_LONGEST_RUN = 200


def errno_answer(errno: int) -> int:
    """The call fails with this errno and is not made."""
    return _ERRNO | errno


def low_word(argument: int) -> int:
    """Offset of the low 32 bits of an argument, 0 to 5 (both machines are little-endian)."""
    return _ARGUMENTS + 8 * argument


def high_word(argument: int) -> int:
    return low_word(argument) + 4


@dataclass(frozen=True)
class Instruction:
    operation: int
    value: int
    #: Instructions to skip when the condition holds, and when not.
    if_true: int = 0
    if_false: int = 0

    def encoded(self) -> bytes:
        return struct.pack("=HBBI", self.operation, self.if_true, self.if_false, self.value & 0xFFFF_FFFF)


Block = Tuple[Instruction, ...]


def encode(program: Sequence[Instruction]) -> bytes:
    return b"".join(instruction.encoded() for instruction in program)


def load(offset: int) -> Block:
    return (Instruction(LOAD_WORD, offset),)


def answer(action: int) -> Block:
    return (Instruction(RETURN, action),)


def when_equal(value: int, then: Block) -> Block:
    """Runs the block when the loaded word equals the value, else skips it."""
    return (Instruction(JUMP_IF_EQUAL, value, 0, len(then)), *then)


def when_any_bit(mask: int, then: Block) -> Block:
    """Runs the block when one of the mask's bits is set in the loaded word, else skips it."""
    return (Instruction(JUMP_IF_ANY_BIT, mask, 0, len(then)), *then)


def when_one_of(values: Iterable[int], then: Block) -> Block:
    """Runs the block when the loaded word is one of the values, else skips it."""
    known = tuple(values)
    tests = tuple(Instruction(JUMP_IF_EQUAL, value, len(known) - index, 0) for index, value in enumerate(known))
    return (*tests, Instruction(JUMP, len(then)), *then)


def when_number_in(numbers: Iterable[int], action: int) -> Block:
    """Answers for any of the system calls, in runs that a one-byte jump can cross."""
    ordered = sorted(numbers)
    program: List[Instruction] = []
    for start in range(0, len(ordered), _LONGEST_RUN):
        program += when_one_of(ordered[start : start + _LONGEST_RUN], answer(action))
    return tuple(program)
