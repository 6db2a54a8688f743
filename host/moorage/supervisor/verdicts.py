"""What is still known of a dead worker, gathered before clean-up, and the verdict that it makes. Judging is pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from moorage.models.incarnation import Verdict, VerdictKind
from moorage.supervisor.stacks import Stack

#: Lines of output that a verdict keeps.
LINES = 200

_TRACEBACK = "Traceback (most recent call last):"
#: Between the tracebacks of errors that caused one another.
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


@dataclass(frozen=True)
class Evidence:
    """Everything in it was written by the plugin but ``memory``: harmless to show, and never believed."""

    #: The last lines of standard output and error, oldest first.
    lines: tuple[str, ...] = ()
    #: What Python wrote of its threads as it died.
    dying: Stack = field(default_factory=Stack)
    #: A sentence of the host's own: that, and at which limit, the kernel killed it for its memory. Empty: it did not.
    memory: str = ""


def judged(verdict: Verdict, evidence: Evidence) -> Verdict:
    """The verdict with all that explains it. A planned stop needs no explanation."""
    if verdict.planned:
        return verdict
    if evidence.memory and _may_be_memory(verdict):
        verdict = replace(verdict, kind=VerdictKind.OUT_OF_MEMORY, sentence=evidence.memory)
    traceback = verdict.traceback or traceback_in(evidence.lines)
    stack = verdict.stack or evidence.dying.text
    sentence = _whole(verdict.kind, f"{verdict.sentence}{_detail(verdict, traceback, evidence.dying)}")
    return replace(verdict, sentence=sentence, traceback=traceback, stack=stack, lines=evidence.lines[-LINES:])


def _whole(kind: VerdictKind, sentence: str) -> str:
    """As one that others can follow. What went wrong in loading comes in the SDK's words, between others of its own."""
    if kind is VerdictKind.LOAD_FAILED:
        sentence = sentence[:1].upper() + sentence[1:]
    return sentence if sentence.endswith((".", "!", "?", ":")) else f"{sentence}."


def start_deadline(limit: timedelta, stack: Stack) -> Verdict:
    doing = f": {stack.doing}" if stack.doing else ""
    sentence = f"It was not ready within {limit.total_seconds():g} s{doing}."
    return Verdict(VerdictKind.START_DEADLINE, sentence, stack=stack.text)


def traceback_in(lines: Sequence[str]) -> str:
    """The last traceback among lines of output, with those that it is chained to; empty: there is none."""
    starts = [number for number, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    if not starts:
        return ""
    first = starts.pop()
    while starts and _is_chained(lines[starts[-1] : first]):
        first = starts.pop()
    end = _end(lines, first)
    while (following := _next_chained(lines, end)) is not None:
        end = _end(lines, following)
    return "\n".join(lines[first:end])


def _is_chained(between: Sequence[str]) -> bool:
    return any(line.startswith(_CHAINED) for line in between)


def _next_chained(lines: Sequence[str], end: int) -> int | None:
    for number in range(end, len(lines)):
        if lines[number].startswith(_TRACEBACK):
            return number if _is_chained(lines[end:number]) else None
    return None


def _end(lines: Sequence[str], start: int) -> int:
    """After the line that names the exception: the first that is not indented."""
    for number in range(start + 1, len(lines)):
        if lines[number] and not lines[number].startswith(" "):
            return number + 1
    return len(lines)


def _may_be_memory(verdict: Verdict) -> bool:
    return verdict.signal == "SIGKILL" or verdict.kind is VerdictKind.LINK_LOST


def _detail(verdict: Verdict, traceback: str, dying: Stack) -> str:
    if verdict.kind is VerdictKind.EXITED and traceback:
        return f" {traceback.splitlines()[-1]}"
    if verdict.kind is VerdictKind.SIGNALLED and dying.where:
        return f" It was at {dying.where}."
    return ""
