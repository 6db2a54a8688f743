"""What the kernel tells of a worker's end, as a verdict. Pure."""

from __future__ import annotations

import os
import signal

from moorage.models.incarnation import Verdict, VerdictKind

#: A worker is the first process of its pid namespace: the kernel lets no signal end it but those it forces itself.
_HINTS = {
    "SIGSEGV": "A memory error in native code, or abort(): in a sandbox the kernel reports both as SIGSEGV.",
    "SIGBUS": "A memory error in native code, or a mapped file that was cut short.",
    "SIGKILL": "The host did not ask for it: the kernel, out of memory, or a person on this machine did.",
    "SIGTERM": "The host asked it to stop.",
}

#: What the SDK's bootstrap means by its exit codes.
_EXIT_CODES = {
    69: "It lost its link to the host; a message beyond all bounds is one way to.",
}


def verdict_of(status: int, *, killed_by_host: bool) -> Verdict:
    """``status`` is waitpid(2)'s."""
    if os.WIFEXITED(status):
        code = os.WEXITSTATUS(status)
        hint = _EXIT_CODES.get(code, "")
        return Verdict(VerdictKind.EXITED, f"The worker exited with code {code}. {hint}".rstrip(), exit_code=code)
    return _signalled(signal.Signals(os.WTERMSIG(status)).name, killed_by_host=killed_by_host)


def _signalled(name: str, *, killed_by_host: bool) -> Verdict:
    if name == "SIGSYS":
        return Verdict(
            VerdictKind.FORBIDDEN_SYSTEM_CALL,
            "The worker made a system call that no plugin has a use for, and the kernel killed it."
            " Treat the plugin as hostile until you know why.",
            signal=name,
        )
    if name == "SIGKILL" and killed_by_host:
        return Verdict(VerdictKind.SIGNALLED, "The host killed the worker.", signal=name)
    hint = _HINTS.get(name, "")
    return Verdict(VerdictKind.SIGNALLED, f"{name} ended the worker. {hint}".rstrip(), signal=name)


def lost_with_zygote() -> Verdict:
    """The zygote ended first, and the kernel ended its pid namespace with it."""
    return Verdict(
        VerdictKind.SIGNALLED,
        "The zygote from which the worker was forked ended, and the kernel ended its workers with it."
        " The next start gets a new zygote.",
        signal="SIGKILL",
    )


def unobserved() -> Verdict:
    """It is gone, and the zygote, which alone can tell how, does not answer."""
    return Verdict(VerdictKind.EXITED, "The worker is gone; its zygote did not tell with which code or signal.")
