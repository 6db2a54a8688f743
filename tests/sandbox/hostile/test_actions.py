"""The short form of the hostile suite: every action against the whole sandbox, with the host as root and as a user."""

from __future__ import annotations

import pytest
from hostile.judging import FULL, judge
from hostile.rows import ESCAPED, ROWS, names, numbered

pytestmark = pytest.mark.system

FORKED = tuple(run for run in FULL if run.start == "zygote")


def test_the_table_has_the_designs_numbers() -> None:
    assert [row.number for row in numbered()] == list(range(1, 94))
    assert len(set(names(ROWS))) == len(ROWS)


@pytest.mark.parametrize("run", FORKED, ids=lambda run: run.name)
def test_nothing_gets_out(outcomes, run) -> None:
    came = outcomes.of(run)
    problems = [
        f"{row.name}: {came[row.name]}: {problem}"
        for row in ROWS
        if (problem := judge(row, run, came[row.name], ESCAPED))
    ]
    assert not problems, "\n".join(problems)
    assert outcomes.disturbed[run.name] == []
