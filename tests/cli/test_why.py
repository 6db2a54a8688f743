"""``why`` and ``stack``, and the verdict on the page of an installation."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from moorage.models.attachment import Holding
from moorage.models.health import Condition, ConditionKind
from moorage.models.incarnation import IncarnationState, Verdict, VerdictKind
from moorage.models.why import LastChange, LastVerdict, RunningExecution, Why

from .conftest import load_memory_host

NOON = load_memory_host().NOON
BUSY = Condition(
    ConditionKind.BUSY,
    NOON - timedelta(seconds=94),
    "Its event loop does not turn; it burns 100% of a CPU.",
    "Thread 0x1",
    "geo/index.py:88 build()",
)


def ago(seconds: float):
    return NOON - timedelta(seconds=seconds)


def test_a_busy_worker_is_one_screen(moorage, host) -> None:
    host.reasons["geo-tag"] = Why(
        "geo-tag",
        "busy",
        "",
        NOON,
        number=7,
        pid=4242,
        since=ago(300),
        condition=BUSY,
        changed=LastChange("upgrade", "dana", ago(94 + 240), "2.3.1 -> 2.4.0"),
        executions=(RunningExecution("e-9f2", "execute", ago(95)),),
        queued=2,
        holdings=(Holding("e-9f2", "transaction on sql main", ago(93)),),
        verdict=LastVerdict(6, ago(600), Verdict(VerdictKind.SILENT, "It did not answer for 300 s.")),
        next_step="moorage stop geo-tag --hold REASON",
    )

    lines = moorage("why", "geo-tag").stdout.splitlines()

    assert lines[0] == (
        "#7 busy 1 min 34 s: geo/index.py:88 build(): Its event loop does not turn; it burns 100% of a CPU;"
        " process alive"
    )
    assert lines[1].endswith("11:58, 4 min after upgrade 2.3.1 -> 2.4.0 by dana")
    assert lines[2:5] == [
        "e-9f2 execute runs for 1 min 35 s",
        "2 queued",
        "1 transaction open 1 min 33 s on sql main for e-9f2",
    ]
    assert lines[5].startswith("#6 ended ")
    assert lines[5].endswith("11:50: It did not answer for 300 s.")
    assert lines[6:] == ["next: moorage stop geo-tag --hold REASON"]
    answer = json.loads(moorage("why", "geo-tag", "--json").stdout)
    assert answer["condition"]["where"] == "geo/index.py:88 build()"
    assert answer["verdict"]["verdict"]["remedy"].startswith("The stack names the line")


def test_one_that_does_not_run_says_why_and_when_it_starts(moorage, host) -> None:
    host.reasons["geo-tag"] = Why(
        "geo-tag", "stopped", "It crashed.", NOON, restart_in=timedelta(seconds=3.2), next_step="moorage doctor"
    )
    assert moorage("why", "geo-tag").stdout.splitlines() == [
        "geo-tag is not granted: It crashed.",
        "next start in 3.20 s",
        "next: moorage doctor",
    ]


def test_what_somebody_changed_since_it_is_ready_is_told_with_its_age(moorage, host) -> None:
    well = Condition(ConditionKind.ANSWERING, ago(600))
    changed = LastChange("grant", "dana", ago(30), "sql.read:users")
    host.reasons["churn"] = Why(
        "churn", "ready", "", NOON, number=1, pid=2, since=ago(600), condition=well, changed=changed
    )
    lines = moorage("why", "churn").stdout.splitlines()
    assert lines[0] == "#1 ready: it answers; pid 2"
    assert lines[1].endswith("11:50, grant sql.read:users by dana 30 s ago")


def test_a_plugins_words_cannot_move_the_cursor(moorage, host) -> None:
    unwell = Condition(ConditionKind.UNHEALTHY, ago(5), "\x1b[2Jall is well")
    host.reasons["churn"] = Why("churn", "unhealthy", "", NOON, number=1, pid=2, condition=unwell)
    assert moorage("why", "churn").stdout.splitlines()[0] == "#1 unhealthy 5.00 s: \\x1b[2Jall is well"


def test_the_stacks_of_its_workers(moorage) -> None:
    assert moorage("stack", "churn").stdout == ""
    moorage("start", "churn")
    text = moorage("stack", "churn").stdout
    assert text.splitlines()[:2] == ["#1 is at geo/index.py:88 build()", "Thread 0x1 (most recent call first):"]
    assert "\x1b" not in text
    assert json.loads(moorage("stack", "churn", "--json").stdout)["items"][0]["number"] == 1


def test_show_tells_what_explains_the_last_death_and_what_to_do(moorage, host) -> None:
    moorage("start", "churn")
    plugin = host.plugins["churn"]
    verdict = Verdict(VerdictKind.SIGNALLED, "A memory error (SIGSEGV).", stack="Thread 0x1 x", lines=("last", "words"))
    dead = replace(plugin.incarnations[0], state=IncarnationState.STOPPED, stopped_at=NOON, verdict=verdict)
    plugin.incarnations[0] = dead
    shown = moorage("show", "churn").stdout
    assert "A memory error (SIGSEGV)." in shown
    assert "  Thread 0x1 x" in shown
    assert "signalled: Where a stack is shown" in shown
    plugin.incarnations[0] = replace(dead, verdict=replace(verdict, stack=""))
    assert "  last\n  words\n" in moorage("show", "churn").stdout
    plugin.incarnations[0] = replace(dead, verdict=replace(verdict, kind=VerdictKind.PLANNED_STOP))
    planned = moorage("show", "churn").stdout
    assert "words" not in planned
    assert "Nothing is wrong" not in planned


def test_what_is_told_already_is_not_told_again(moorage, host) -> None:
    sentence = "The worker called ptrace."
    verdict = LastVerdict(5, ago(60), Verdict(VerdictKind.FORBIDDEN_SYSTEM_CALL, sentence))
    changed = LastChange("stop", "dana", ago(30), "INC-4711")
    host.reasons["geo-tag"] = Why("geo-tag", "quarantined", f"{sentence} x", NOON, changed=changed, verdict=verdict)
    lines = moorage("why", "geo-tag").stdout.splitlines()
    assert lines[1] == "last change: stop by dana (INC-4711), 30 s ago"
    assert lines[2].endswith(": forbidden system call")
    assert len(lines) == 3
