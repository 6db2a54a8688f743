"""What people see of executions, and how they ask for them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moorage.cli import waiting
from moorage.errors import ExitCode
from moorage.models.execution import Attempt, Execution, ExecutionError, ExecutionState, ResourceUse
from moorage.web.schemas import executions as schemas

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RUNNING = Execution(
    "e-1", "churn", "churn", "1.0", "execute", "manual", ExecutionState.RUNNING, queued_at=NOON, started_at=NOON
)


def line(execution: Execution, seconds: float = 12) -> str:
    return waiting.line_of(schemas.Execution.of(execution), NOON + timedelta(seconds=seconds)).plain


def answer(result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_line_says_how_it_goes() -> None:
    assert line(RUNNING) == "churn execute: running 12 s"
    reported = replace(RUNNING, progress=0.4, progress_message="of the\x1b users", attempt=2)
    assert line(reported) == "churn execute: running, attempt 2 12 s  ━━━━━━━━──────────── 40%  of the\\x1b users"
    waits = replace(
        RUNNING, state=ExecutionState.QUEUED, started_at=None, attempt=2, due_at=NOON + timedelta(seconds=42)
    )
    assert line(waits) == "churn execute: queued, attempt 2, begins in 30 s"
    assert line(replace(waits, due_at=None, attempt=1)) == "churn execute: queued"


def test_it_is_looked_at_until_it_has_ended() -> None:
    def document(state: ExecutionState) -> Any:
        return schemas.Execution.of(replace(RUNNING, state=state)).model_dump(mode="json")

    class Api:
        def __init__(self) -> None:
            self.left = [document(ExecutionState.RUNNING), document(ExecutionState.SUCCEEDED)]

        def get(self, path: str) -> Any:
            assert path == "/executions/e-1"
            return self.left.pop(0)

    shown: list[str] = []
    pauses: list[float] = []
    api = Api()
    ended = waiting.followed(
        api,  # type: ignore[arg-type]
        document(ExecutionState.QUEUED),
        lambda text: shown.append(text.plain.split(":")[1].split()[0]),
        pauses.append,
    )
    assert (ended["state"], shown, len(pauses)) == ("succeeded", ["queued", "running"], 2)


def test_a_terminal_sees_the_outcome_after_waiting(moorage, monkeypatch) -> None:
    monkeypatch.setattr("moorage.cli.commands.executions.is_watched", lambda: True)
    watched = moorage("run", "churn", "--input", '{"day": 1}')
    assert watched.exit_code == 0
    assert watched.stdout.startswith("churn execute: succeeded in 0.31 s  e-1\n")
    failed = moorage("run", "churn", "fail", "--input", "7")
    assert failed.exit_code == ExitCode.FAILED
    assert "LookupError: no such user: 7" in failed.stdout


def test_the_whole_of_one(moorage, host) -> None:
    identity = answer(moorage("run", "churn", "--json"))["id"]
    error = ExecutionError("signalled", "It was killed by SIGSEGV.")
    host.attempts[identity] = (
        Attempt(identity, 1, ExecutionState.CRASHED, NOON, NOON + timedelta(seconds=2), error),
        Attempt(identity, 2, ExecutionState.SUCCEEDED, NOON, NOON + timedelta(seconds=1)),
    )
    host.runs[identity] = replace(
        host.runs[identity],
        attempt=2,
        use=ResourceUse(0.25, 60 * 1024 * 1024, 12, 1, 4096),
        trigger="cron",
        trigger_id="churn/nightly",
        by="dana",
        key="order-17",
        retry_of="e-0",
    )
    host.log("churn", "one", execution=identity)
    shown = moorage("execution", identity).stdout
    assert "cron churn/nightly, by dana" in shown
    assert "order-17" in shown
    assert "succeeded at attempt 2 in " in shown
    assert "0.25 s of CPU, 60 MiB of memory" in shown
    assert "12 calls, 1 of them denied" in shown
    assert "signalled: It was killed by SIGSEGV." in shown
    rows = [line.split()[:2] for line in shown.splitlines() if line.strip()[:1].isdigit()]
    assert rows == [["1", "crashed"], ["2", "succeeded"]]


def test_who_started_it_by_hand_is_said_plainly(moorage, host) -> None:
    identity = answer(moorage("run", "churn", "--json"))["id"]
    host.runs[identity] = replace(host.runs[identity], trigger="manual", by="dana")
    assert "dana, by hand" in moorage("execution", identity).stdout
    host.runs[identity] = replace(host.runs[identity], trigger_id="churn/nightly")
    assert "churn/nightly, fired by dana" in moorage("execution", identity).stdout


def test_lists_are_filtered_and_go_on_on_the_next_page(moorage, host) -> None:
    ids = [json.loads(moorage("run", "churn", task, "--json").stdout)["id"] for task in ("execute", "fail", "execute")]
    host.runs[ids[0]] = replace(host.runs[ids[0]], trigger_id="churn/nightly")

    def listed(*options: str) -> list[str]:
        return [each["id"] for each in answer(moorage("executions", *options, "--json"))["items"]]

    assert listed() == ids[::-1]
    assert listed("--state", "failed") == [ids[1]]
    assert listed("--trigger", "churn/nightly") == [ids[0]]
    assert listed("--before", ids[1]) == [ids[0]]
    assert listed("--since", "2099-01-01T00:00") == []
    page = moorage("executions", "--limit", "2")
    assert f"--before {ids[1]}" in page.stderr
    assert "churn/nightly" in moorage("executions").stdout
    assert "INSTALLATION" in moorage("executions").stdout
    assert "INSTALLATION" not in moorage("executions", "churn").stdout
    assert "There are none of that kind." in moorage("executions", "--state", "crashed").stdout
    assert moorage("executions", "--state", "lost").exit_code == ExitCode.USAGE


def test_a_run_may_have_a_key_a_time_and_attempts(moorage, host) -> None:
    identity = answer(moorage("run", "churn", "--key", "k", "--at", "2026-11-20T09:30", "--attempts", "3", "--json"))[
        "id"
    ]
    run = host.runs[identity]
    assert (run.key, run.attempts) == ("k", 3)
    assert run.due_at == datetime.fromisoformat("2026-11-20T09:30").astimezone()
    soon = host.runs[answer(moorage("run", "churn", "--in", "2 h", "--json"))["id"]]
    assert timedelta(hours=1.9) < soon.due_at - datetime.now(UTC) <= timedelta(hours=2)


@pytest.mark.parametrize(
    "options",
    [
        ("--at", "tomorrow"),
        ("--in", "soon"),
        ("--in", "2 h", "--at", "2026-11-20T09:30"),
        ("--attempts", "0"),
        ("--key", "k", "--all", "--yes"),
    ],
)
def test_odd_options_are_refused(moorage, options: tuple[str, ...]) -> None:
    name = () if "--all" in options else ("churn",)
    assert moorage("run", *name, *options).exit_code == ExitCode.USAGE


def test_a_retry_waits_for_its_outcome(moorage, host) -> None:
    identity = json.loads(moorage("run", "churn", "fail", "--input", "7", "--json").stdout)["id"]
    retried = moorage("retry", identity)
    assert retried.exit_code == ExitCode.FAILED
    assert "LookupError: no such user: 7" in retried.stdout
    assert [run.retry_of for run in host.runs.values()] == ["", identity]
    assert answer(moorage("retry", identity, "--no-wait", "--json"))["finished"] is False
    assert moorage("retry", "e-404").exit_code == ExitCode.NOT_FOUND
