"""What the kernel tells of a worker's end, as a verdict. Pure."""

from __future__ import annotations

import os
import signal

from moorage.models.incarnation import Verdict, VerdictKind

#: A worker is the first process of its pid namespace: the kernel lets no signal end it but those it forces itself.
_SIGNALS = {
    "SIGSEGV": "A memory error in native code ended the worker, or abort(): in a sandbox the kernel reports both so.",
    "SIGBUS": "A memory error in native code ended the worker, or a mapped file that was cut short.",
    "SIGILL": "The worker ran an instruction that this processor does not have: native code for another machine.",
    "SIGFPE": "Native code divided a whole number by zero, and the kernel ended the worker.",
    "SIGABRT": "Native code gave up and called abort(), which ended the worker.",
    "SIGKILL": "The worker was killed, and the host did not ask for it: the kernel, out of memory, or a person on this"
    " machine did.",
    "SIGTERM": "The worker ended because it was asked to stop; the host had not asked.",
    "SIGXCPU": "The worker used up its CPU time, and the kernel ended it.",
    "SIGXFSZ": "The worker wrote a file larger than it may, and the kernel ended it.",
}

_HOSTILE = "Treat the plugin as hostile until you know why."

#: What exit codes mean: Python's, the sandbox's and those of the SDK's bootstrap.
_EXIT_CODES = {
    0: "The worker ended by itself, as if its work were done (os._exit(0) is one way to)",
    1: "Python ended the worker because of an error that nothing caught",
    2: "The interpreter did not accept how it was started",
    69: "The worker's connection to the host broke off: something in it wrote to the link's own socket, or shut it",
    97: "The sandbox could not be finished, so nothing of the plugin ran",
    120: "Python could not write out what it still had as it ended",
    143: "The worker was asked to stop, and did",
}

_LINK_LOST = 69

#: From here on a shell would mean a signal; a worker that chooses such a code says so itself.
_SHELL_SIGNALS = 128


def verdict_of(status: int, *, killed_by_host: bool) -> Verdict:
    """``status`` is waitpid(2)'s. What it means stands first in the sentence, the number last."""
    if os.WIFEXITED(status):
        code = os.WEXITSTATUS(status)
        kind = VerdictKind.LINK_LOST if code == _LINK_LOST else VerdictKind.EXITED
        return Verdict(kind, f"{_meaning(code)} (exit code {code}).", exit_code=code)
    return _signalled(_name(os.WTERMSIG(status)), killed_by_host=killed_by_host)


def _meaning(code: int) -> str:
    known = _EXIT_CODES.get(code)
    if known:
        return known
    if code > _SHELL_SIGNALS:
        return f"The worker ended itself with the code by which shells report {_name(code - _SHELL_SIGNALS)}"
    return "The worker ended itself, by sys.exit or os._exit in the plugin or in native code"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _signalled(name: str, *, killed_by_host: bool) -> Verdict:
    if name == "SIGSYS":
        # Of another architecture's or x32's numbers, or of a kernel that names none.
        return Verdict(
            VerdictKind.FORBIDDEN_SYSTEM_CALL,
            f"The worker made a system call that no plugin has a use for, and the kernel killed it. {_HOSTILE}",
            signal=name,
        )
    if name == "SIGKILL" and killed_by_host:
        return Verdict(VerdictKind.SIGNALLED, "The host killed the worker.", signal=name)
    words = _SIGNALS.get(name, "A signal ended the worker that the host had not sent.")
    return Verdict(VerdictKind.SIGNALLED, f"{words.removesuffix('.')} ({name}).", signal=name)


def forbidden(call: str) -> Verdict:
    """The host killed it for a forbidden call; ``call`` is its name, or empty where it could not be read."""
    what = f"called {call}" if call else "made a system call"
    return Verdict(
        VerdictKind.FORBIDDEN_SYSTEM_CALL,
        f"The worker {what}, which no plugin has a use for; the call was not made, and the host killed the worker."
        f" {_HOSTILE}",
        signal="SIGKILL",
    )


def lost_with_zygote() -> Verdict:
    """The zygote ended first, and the kernel ended its pid namespace with it."""
    return Verdict(
        VerdictKind.ZYGOTE_LOST,
        "The zygote from which the worker was forked ended, and the kernel ended its workers with it."
        " The next start gets a new zygote.",
        signal="SIGKILL",
    )


def unobserved() -> Verdict:
    """It is gone, and the zygote, which alone can tell how, does not answer."""
    return Verdict(VerdictKind.EXITED, "The worker is gone; its zygote did not tell with which code or signal.")
