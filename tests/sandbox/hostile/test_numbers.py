"""Every system call number is answered as the shipped lists say: by a real kernel, in real workers."""

from __future__ import annotations

import errno
import os

import pytest
from hostile.runs import IMPORTS, prepare

from moorage_sandbox import lists
from moorage_sandbox.numbers import NUMBERS

pytestmark = pytest.mark.system

NAMES = {number: name for name, number in NUMBERS[os.uname().machine].items()}
#: Beyond the last number that any kernel has given away yet.
EVERY = range(600)
X32 = 0x4000_0000

ENDS = {"exit": "exit 255", "exit_group": "exit 255", "rt_sigreturn": "SIGSEGV"}

#: x86_64's uretprobe and uprobe: kernels from 6.14 on let them pass every filter, and end whoever calls them from
#: elsewhere than the kernel's own trampoline. Older ones do not have them.
UNFILTERED = {335: ("SIGILL", "ENOSYS"), 336: ("SIGILL", "ENXIO", "ENOSYS")} if os.uname().machine == "x86_64" else {}

#: With all arguments -1: every flag is set, no family, request or command is known.
BY_ARGUMENTS = {
    **dict.fromkeys(lists.BY_ARGUMENTS, errno.EPERM),
    "clone3": errno.ENOSYS,
    "socket": errno.EAFNOSUPPORT,
    "socketpair": errno.EAFNOSUPPORT,
    "ioctl": errno.ENOTTY,
    "fcntl": errno.EBADF,
}

FACTS = {"data": "/data"}
PROBE = "from attacks import numbers, world; value = numbers.probe(world.World(facts), {numbers})"
CALL = "call({number}, -1, -1, -1, -1, -1, -1)"


def in_batch(number: int) -> bool:
    return NAMES.get(number) not in (*lists.KILL, *ENDS) and number not in UNFILTERED


@pytest.fixture(
    params=[
        pytest.param(("ordinary", "zygote"), id="user-forked"),
        pytest.param(("privileged", "zygote"), id="root-forked", marks=pytest.mark.hostile),
        pytest.param(("ordinary", "fresh"), id="user-fresh", marks=pytest.mark.hostile),
        pytest.param(("privileged", "fresh"), id="root-fresh", marks=pytest.mark.hostile),
    ]
)
def run(request):
    """Runs code, each piece in a worker of its own."""
    name, start = request.param
    stage = request.getfixturevalue(name)
    prepare(stage)
    return lambda *codes: stage.run(*(stage.job(code, facts=FACTS, start=start) for code in codes), imports=IMPORTS)


@pytest.fixture(scope="session")
def plain(ordinary, tmp_path_factory) -> dict[int, int]:
    """How the kernel answers a plain process that makes the calls which pass."""
    prepare(ordinary)
    allowed = [number for number, name in NAMES.items() if name in lists.ALLOW and in_batch(number)]
    job = ordinary.job(PROBE.format(numbers=allowed), facts={"data": str(ordinary.base / "data")})
    (ordinary.base / "data" / "probe").unlink(missing_ok=True)
    result = ordinary.plain(job)
    assert "value" in result, result
    return {int(number): answer for number, answer in result["value"].items()}


def expected(number: int) -> int | None:
    """The errno of the filter's answer; None: the kernel's own."""
    name = NAMES.get(number, "")
    if name in lists.ALLOW:
        return None
    if name in lists.REFUSE:
        return errno.EPERM
    return BY_ARGUMENTS.get(name, errno.ENOSYS)


def test_every_number_is_answered_as_the_lists_say(run, plain, ordinary) -> None:
    (result,) = run(PROBE.format(numbers=[number for number in EVERY if in_batch(number)]))
    assert "value" in result, f"a call outside the list KILL killed: {result}"
    drift = {}
    for text, answer in result["value"].items():
        number = int(text)
        wanted = expected(number)
        # A call that passes may fail with what the filter also says, if the kernel answers that to anybody.
        reached = answer not in (errno.EPERM, errno.ENOSYS) or answer == plain.get(number)
        if answer != wanted if wanted is not None else not reached:
            drift[NAMES.get(number, number)] = errno.errorcode.get(answer, answer)
    assert drift == {}


def test_every_call_that_kills_kills_and_is_named(run) -> None:
    results = run(*(CALL.format(number=NUMBERS[os.uname().machine][name]) for name in _here(lists.KILL)))
    for name, result in zip(_here(lists.KILL), results, strict=True):
        assert result["verdict"] == "forbidden_system_call", (name, result)
        assert f" {name}" in result["sentence"], result


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 is an interface of x86_64")
def test_x32_numbers_kill(run) -> None:
    sample = [X32, X32 | 1, X32 | 39, X32 | 322, X32 | 512, X32 | 547, X32 | 599]
    results = run(*(CALL.format(number=number) for number in sample))
    assert [result["verdict"] for result in results] == ["forbidden_system_call"] * len(sample)


def test_calls_that_end_the_process_are_reached(run) -> None:
    names = _here(ENDS)
    results = run(*(CALL.format(number=NUMBERS[os.uname().machine][name]) for name in names))
    assert [result["outcome"] for result in results] == [ENDS[name] for name in names]


def test_calls_that_no_filter_sees_do_nothing(run) -> None:
    results = run(*(CALL.format(number=number) for number in UNFILTERED))
    for number, result in zip(UNFILTERED, results, strict=True):
        assert result["outcome"] in UNFILTERED[number], result


def _here(names) -> list[str]:
    return [name for name in names if name in NUMBERS[os.uname().machine]]
