"""The filter, run by an interpreter of classic BPF over every system call number, against the lists."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_sandbox import bpf, lists, seccomp
from moorage_sandbox.numbers import NUMBERS
from moorage_sandbox.seccomp import Variant

MACHINES = tuple(seccomp.ARCHITECTURES)
EPERM = bpf.errno_answer(1)
ENOSYS = bpf.errno_answer(38)
EAFNOSUPPORT = bpf.errno_answer(97)
ENOTTY = bpf.errno_answer(25)

words = st.integers(min_value=0, max_value=2**64 - 1)


def answer(program: bytes, machine: str, number: int, *arguments: int) -> int:
    """What the kernel would answer; checks on the way what the kernel's verifier checks."""
    filled = (*arguments, *(0 for _ in range(6 - len(arguments))))
    data = struct.pack("=iIQ6Q", number, seccomp.ARCHITECTURES[machine], 0, *filled)
    return _run(program, data)


def _run(program: bytes, data: bytes) -> int:
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = word = 0
    while True:
        operation, if_true, if_false, value = instructions[at]
        at += 1
        if operation == bpf.RETURN:
            return value
        if operation == bpf.LOAD_WORD:
            assert value % 4 == 0
            word = struct.unpack_from("=I", data, value)[0]
        elif operation == bpf.AND:
            word &= value
        elif operation == bpf.JUMP:
            at += value
        else:
            tests = {
                bpf.JUMP_IF_EQUAL: word == value,
                bpf.JUMP_IF_AT_LEAST: word >= value,
                bpf.JUMP_IF_ANY_BIT: bool(word & value),
            }
            at += if_true if tests[operation] else if_false


@pytest.fixture(scope="module", params=MACHINES)
def machine(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def program(machine) -> bytes:
    return seccomp.program(machine, NUMBERS[machine])


@pytest.mark.parametrize(
    ("variant", "allowed", "refused", "forbidden"),
    [
        (Variant(), (), EPERM, bpf.KILL_PROCESS),
        (Variant(listener=True), (), EPERM, bpf.USER_NOTIF),
        (Variant(listener=True, subprocess=True), lists.SUBPROCESS, EPERM, bpf.USER_NOTIF),
        (Variant(listener=True, development=True), (), bpf.USER_NOTIF, bpf.USER_NOTIF),
        (Variant(development=True), (), EPERM, EPERM),
    ],
    ids=["no listener", "listener", "subprocess", "development", "development without listener"],
)
def test_every_number_is_answered_by_its_list(machine, variant, allowed, refused, forbidden) -> None:
    program = seccomp.program(machine, NUMBERS[machine], variant)
    names = {number: name for name, number in NUMBERS[machine].items()}
    expected = {
        **dict.fromkeys(lists.REFUSE, refused),
        **dict.fromkeys(lists.KILL, forbidden),
        **dict.fromkeys((*lists.ALLOW, *allowed), bpf.ALLOW),
    }
    for number in range(512):
        name = names.get(number, "")
        if name not in lists.BY_ARGUMENTS:
            assert answer(program, machine, number) == expected.get(name, ENOSYS), (number, name)


def test_no_call_is_in_two_lists() -> None:
    everything = [*lists.ALLOW, *lists.KILL, *lists.REFUSE, *lists.BY_ARGUMENTS]
    assert len(everything) == len(set(everything))
    assert set(lists.BY_ARGUMENTS) == set(seccomp.argument_rules())


def test_every_name_is_known_to_a_machine() -> None:
    known = {name for numbers in NUMBERS.values() for name in numbers}
    assert {*lists.INIT, *lists.SUBPROCESS, *lists.ALLOW, *lists.KILL, *lists.REFUSE, *lists.BY_ARGUMENTS} <= known


def test_program_fits_into_the_kernel(program) -> None:
    most_instructions = 4096
    assert len(program) // 8 < most_instructions


def test_other_architectures_are_killed(program, machine) -> None:
    i386 = 0x4000_0003
    data = struct.pack("=iIQ6Q", NUMBERS[machine]["read"], i386, 0, *[0] * 6)
    assert _run(program, data) == bpf.KILL_PROCESS


@given(number=st.integers(min_value=seccomp.X32_BIT, max_value=2**31 - 1))
def test_x32_is_killed(number) -> None:
    assert answer(X86_64, "x86_64", number) == bpf.KILL_PROCESS


X86_64 = seccomp.program("x86_64", NUMBERS["x86_64"])
NR = NUMBERS["x86_64"]
DEVICES = seccomp.program("x86_64", NR, Variant(devices=True))


def native(name: str, *arguments: int) -> int:
    return answer(X86_64, "x86_64", NR[name], *arguments)


@given(flags=words)
def test_a_subprocess_lives_in_the_same_namespaces(flags) -> None:
    program = seccomp.program("x86_64", NR, Variant(subprocess=True))
    refused = flags & 0x7E02_0000 or flags & 0x1_0400 == 0x1_0000
    assert answer(program, "x86_64", NR["clone"], flags) == (EPERM if refused else bpf.ALLOW)
    assert answer(program, "x86_64", NR["execveat"]) == EPERM


@pytest.mark.parametrize("name", lists.OF_SHARED_USER)
def test_as_the_hosts_own_user_it_changes_neither_modes_nor_times_nor_processors(machine, name) -> None:
    shared = seccomp.program(machine, NUMBERS[machine], Variant(shared_user=True))
    usual = seccomp.program(machine, NUMBERS[machine])
    if name in NUMBERS[machine]:
        number = NUMBERS[machine][name]
        assert answer(shared, machine, number, 7, 0o644) == EPERM
        assert answer(usual, machine, number, 7, 0o644) == bpf.ALLOW
    assert answer(shared, machine, NUMBERS[machine]["sched_setaffinity"], 0) == bpf.ALLOW


@given(request=st.integers(0, 2**16), high=st.sampled_from([0, 1 << 32]))
def test_a_granted_device_opens_no_terminal_and_no_network(request, high) -> None:
    group = request & 0xFF00
    allowed = request in seccomp.IOCTLS or group not in seccomp.IOCTL_GROUPS_REFUSED
    assert answer(DEVICES, "x86_64", NR["ioctl"], 0, request | high) == (bpf.ALLOW if allowed else ENOTTY)


def test_the_first_process_can_do_nothing_but_wait_and_tell(machine) -> None:
    program = seccomp.init_program(machine, NUMBERS[machine])
    for name, number in NUMBERS[machine].items():
        assert answer(program, machine, number) == (bpf.ALLOW if name in lists.INIT else EPERM), name


@given(flags=words)
def test_clone_makes_threads_and_nothing_else(flags) -> None:
    low = flags & 0xFFFF_FFFF
    thread = bool(low & 0x10000) and bool(low & 0x400) and not low & 0x7E02_0000
    assert native("clone", flags) == (bpf.ALLOW if thread else EPERM)


@given(flags=words)
def test_no_thread_gets_a_table_of_descriptors_of_its_own(flags) -> None:
    """What is in there stands in no /proc/PID/fd, where the host looks for what a worker holds."""
    assert native("close_range", 3, 2**32 - 1, flags) == (EPERM if flags & 2 else bpf.ALLOW)


@given(family=st.integers(0, 50), kind=st.integers(0, 15), flags=st.sampled_from([0, 0o4000, 0o2000000, 0o2004000]))
def test_sockets_are_unix_sockets(family, kind, flags) -> None:
    expected = EAFNOSUPPORT if family != 1 else bpf.ALLOW if kind in (1, 2, 5) else EPERM
    assert native("socket", family, kind | flags) == expected


@given(request=st.integers(0, 2**16), high=st.sampled_from([0, 1 << 32, 1 << 63]))
def test_ioctl_is_judged_by_its_low_word(request, high) -> None:
    expected = bpf.ALLOW if request in seccomp.IOCTLS else ENOTTY
    assert native("ioctl", 0, request | high) == expected


def test_a_terminal_cannot_be_typed_into() -> None:
    tiocsti = 0x5412
    assert native("ioctl", 0, tiocsti) == native("ioctl", 0, tiocsti | 1 << 32) == ENOTTY


@given(pointer=words)
def test_limits_are_read_not_set(pointer) -> None:
    assert native("prlimit64", 0, 7, pointer) == (bpf.ALLOW if pointer == 0 else EPERM)


@given(option=st.one_of(st.sampled_from([1, 4, 22, 24, 28, 36, *seccomp.PRCTLS]), words))
def test_prctl_is_an_allow_list(option) -> None:
    allowed = option & 0xFFFF_FFFF in seccomp.PRCTLS
    assert native("prctl", option) == (bpf.ALLOW if allowed else EPERM)


@pytest.mark.parametrize("option", [1, 4, 22], ids=["PDEATHSIG", "DUMPABLE", "SECCOMP"])
def test_prctl_refuses_what_would_undo_the_sandbox(option) -> None:
    assert native("prctl", option) == EPERM


@given(mode=st.integers(0, 0o7777))
def test_no_setuid_bit_is_set(mode) -> None:
    expected = EPERM if mode & 0o6000 else bpf.ALLOW
    o_creat = 0o100
    for answered in (
        native("chmod", 0, mode),
        native("fchmod", 0, mode),
        native("fchmodat", 0, 0, mode),
        native("mkdir", 0, mode),
        native("mkdirat", 0, 0, mode),
        native("creat", 0, mode),
        native("open", 0, o_creat, mode),
        native("openat", 0, 0, o_creat, mode),
    ):
        assert answered == expected


@given(rubbish=words)
def test_mode_counts_only_when_a_file_is_made(rubbish) -> None:
    assert native("openat", 0, 0, 0, rubbish) == native("open", 0, 0, rubbish) == bpf.ALLOW


@given(command=st.integers(0, 2048))
def test_fcntl_asks_for_no_signals(command) -> None:
    expected = EPERM if command in seccomp.FCNTLS_REFUSED else bpf.ALLOW
    assert native("fcntl", 0, command) == expected


@pytest.mark.parametrize(
    "name", ["execve", "execveat", "fork", "vfork", "bind", "listen", "accept", "accept4", "seccomp"]
)
def test_a_worker_neither_executes_nor_forks_nor_listens(name) -> None:
    assert native(name) == EPERM
