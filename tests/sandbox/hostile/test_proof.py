"""The whole hostile suite (``scripts/test --hostile``): controls, all ways to start, each layer alone and without."""

from __future__ import annotations

import os
import shutil

import pytest
from hostile.judging import (
    ALONE,
    BWRAP,
    CONTROL,
    FULL,
    NOTHING,
    RESTRICTED_RUNS,
    WITHOUT,
    Finding,
    idle_layers,
    judge,
    judge_control,
)
from hostile.rows import ROWS

pytestmark = [pytest.mark.system, pytest.mark.hostile, pytest.mark.timeout(300)]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="this needs a host that is root")
with_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bwrap is not installed")


def _runs(runs):
    return [
        pytest.param(
            run,
            id=run.name,
            marks=[*([as_root] if run.host == "root" else ()), *([with_bwrap] if run.kind == "full-bwrap" else ())],
        )
        for run in runs
    ]


def _told(findings) -> str:
    return "\n".join(map(str, findings))


def test_a_plain_process_escapes_where_the_table_says(outcomes) -> None:
    """Else the sandbox's refusals prove nothing."""
    came = outcomes.of(CONTROL)
    findings = [
        Finding(row, CONTROL, came[row.name], problem)
        for row in ROWS
        if (problem := judge_control(row, came[row.name], outcomes.lacking[row.name]))
    ]
    assert not findings, _told(findings)


@pytest.mark.parametrize("run", _runs((*FULL, *BWRAP, *RESTRICTED_RUNS, NOTHING, *ALONE, *WITHOUT)))
def test_layers_stop_what_the_table_says(outcomes, run) -> None:
    came, control = outcomes.of(run), outcomes.of(CONTROL)
    findings = [
        Finding(row, run, came[row.name], problem)
        for row in ROWS
        if (problem := judge(row, run, came[row.name], control[row.name]))
    ]
    assert not findings, _told(findings)


@pytest.mark.parametrize("run", _runs(FULL))
def test_nobody_outside_was_reached(outcomes, run) -> None:
    outcomes.of(run)
    assert outcomes.disturbed[run.name] == []


def test_no_layer_is_idle(outcomes) -> None:
    assert idle_layers(ROWS, {run.name: outcomes.of(run) for run in (NOTHING, *ALONE)}) == []
