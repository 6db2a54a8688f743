"""Every death has a verdict that a person can read, and a next step."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.incarnation import Verdict, VerdictKind
from moorage.models.remedies import remedy_of
from moorage.supervisor.exits import verdict_of
from moorage.supervisor.stacks import Stack
from moorage.supervisor.verdicts import Evidence, judged, start_deadline, traceback_in

RUNBOOK = Path(__file__).parents[2] / "docs" / "verdicts.md"

TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "/plugin/churn.py", line 3, in <module>',
    "    import nump",
    "ModuleNotFoundError: No module named 'nump'",
)
CHAINED = (*TRACEBACK, "", "During handling of the above exception, another exception occurred:", "", *TRACEBACK)


@pytest.mark.parametrize("kind", VerdictKind)
def test_each_kind_has_a_remedy_and_an_entry_in_the_runbook(kind: VerdictKind) -> None:
    remedy = remedy_of(kind, "churn")

    assert remedy
    assert "{" not in remedy
    assert re.search(rf"^## {kind.value}$", RUNBOOK.read_text(), re.MULTILINE)


def test_the_runbook_names_no_other_kinds() -> None:
    named = set(re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert named == {kind.value for kind in VerdictKind}


@given(st.integers(0, 255))
def test_an_exit_code_is_explained_before_it_is_named(code: int) -> None:
    sentence = verdict_of(code << 8, killed_by_host=False).sentence
    meaning = sentence.removesuffix(f" (exit code {code}).")
    assert meaning != sentence
    assert len(meaning.split()) > 5
    assert not re.search(r"exit\w* (with )?(code )?\d", meaning)


@given(st.integers(1, 64))
def test_a_signal_is_explained_before_it_is_named(number: int) -> None:
    sentence = verdict_of(number, killed_by_host=False).sentence
    assert len(sentence.split(" (")[0].split()) > 5
    assert sentence.endswith(".")


def test_code_137_is_not_left_to_the_reader() -> None:
    sentence = verdict_of(137 << 8, killed_by_host=False).sentence
    assert sentence == "The worker ended itself with the code by which shells report SIGKILL (exit code 137)."


@pytest.mark.parametrize("kind", [VerdictKind.PLANNED_STOP, VerdictKind.KILLED_BY_OPERATOR])
def test_a_planned_stop_is_left_alone(kind: VerdictKind) -> None:
    verdict = Verdict(kind, "Stopped: a person asked for it.")
    assert judged(verdict, Evidence(TRACEBACK, Stack("Thread", "a.py:1 f()"), "out of memory")) == verdict


def test_the_error_that_ended_python_is_in_the_sentence() -> None:
    verdict = judged(verdict_of(1 << 8, killed_by_host=False), Evidence(("hello", *TRACEBACK, "bye")))

    assert verdict.sentence.endswith("(exit code 1). ModuleNotFoundError: No module named 'nump'.")
    assert verdict.traceback == "\n".join(TRACEBACK)
    assert verdict.lines == ("hello", *TRACEBACK, "bye")


def test_a_crash_in_native_code_names_the_line_that_called_it() -> None:
    dying = Stack("Current thread 0x1 ...", "geo/index.py:88 build()", "")
    verdict = judged(verdict_of(11, killed_by_host=False), Evidence(dying=dying))
    assert verdict.sentence.endswith("(SIGSEGV). It was at geo/index.py:88 build().")
    assert verdict.stack == dying.text


@pytest.mark.parametrize(
    ("status", "kind"),
    [(9, VerdictKind.OUT_OF_MEMORY), (11, VerdictKind.SIGNALLED), (1 << 8, VerdictKind.EXITED)],
)
def test_memory_is_to_blame_where_the_kernel_killed_for_it(status: int, kind: VerdictKind) -> None:
    verdict = judged(verdict_of(status, killed_by_host=False), Evidence(memory="It ran out of memory: 256 MiB."))
    assert verdict.kind is kind
    assert (verdict.sentence == "It ran out of memory: 256 MiB.") == (kind is VerdictKind.OUT_OF_MEMORY)


def test_a_slow_start_says_at_what() -> None:
    stack = Stack("Thread ...", "churn/plugin.py:3", "importing numpy, in churn/plugin.py:3")
    verdict = start_deadline(timedelta(seconds=30), stack)
    assert verdict.sentence == "It was not ready within 30 s: importing numpy, in churn/plugin.py:3."
    assert verdict.stack == "Thread ..."
    assert start_deadline(timedelta(seconds=0.5), Stack()).sentence == "It was not ready within 0.5 s."


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((), ""),
        (("no", "traceback"), ""),
        (TRACEBACK, "\n".join(TRACEBACK)),
        ((*TRACEBACK, "x", *TRACEBACK, "y"), "\n".join(TRACEBACK)),
        (("x", *CHAINED, "y"), "\n".join(CHAINED)),
        (TRACEBACK[:2], "\n".join(TRACEBACK[:2])),
    ],
)
def test_a_traceback_is_found_among_other_words(lines: tuple[str, ...], found: str) -> None:
    assert traceback_in(lines) == found


@given(st.lists(st.sampled_from(["", " x", "x", TRACEBACK[0], "During handling of the above exception, x"])))
def test_whatever_stands_there_is_no_reason_to_fail(lines: list[str]) -> None:
    assert traceback_in(lines) in "\n".join(lines)
