"""Runs of the hostile suite, each made once, and the table at the end."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

import pytest
from hostile import judging
from hostile.judging import ALONE, NOTHING, UNTRIED, Run
from hostile.machine import lacks
from hostile.planted import planted as plant
from hostile.rows import ESCAPED, ROWS
from hostile.runs import try_all
from hostile.table import figures, table

_STANDS = pytest.StashKey["Outcomes"]()


class Outcomes:
    """Outcome of each action in each run, made when first asked for."""

    def __init__(self, stages, planted) -> None:
        self._stages = stages
        self._planted = planted
        self.made: dict[str, dict[str, str]] = {}
        #: What an attacker had changed or reached after a run.
        self.disturbed: dict[str, list[str]] = {}
        self.lacking = {row.name: lacks(row.needs) for row in ROWS}

    def of(self, run: Run) -> dict[str, str]:
        if run.name not in self.made:
            stage = self._stages("privileged" if run.host == "root" and os.geteuid() == 0 else "ordinary")
            # What fails with nothing in the way tells nothing of one layer.
            rows = [row for row in ROWS if run not in ALONE or self.of(NOTHING)[row.name] == ESCAPED]
            self.made[run.name] = {row.name: UNTRIED for row in ROWS} | try_all(stage, run, self._planted, rows)
            self.disturbed[run.name] = self._planted.disturbed()
        return self.made[run.name]


@pytest.fixture(scope="session")
def outcomes(request, ordinary) -> Iterator[Outcomes]:
    with _cores_allowed(), plant(lambda code: ordinary.process([ordinary.python, "-c", code])) as planted:
        made = Outcomes(request.getfixturevalue, planted)
        request.config.stash[_STANDS] = made
        yield made


@contextlib.contextmanager
def _cores_allowed() -> Iterator[None]:
    """Else nothing would show that the sandbox is what refuses them."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    if os.geteuid() == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.RLIM_INFINITY))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


def pytest_terminal_summary(terminalreporter, config) -> None:
    """The table, where it was asked for: by the run with the control."""
    made = config.stash.get(_STANDS, None)
    if made is None or judging.CONTROL.name not in made.made:
        return
    runs = (judging.CONTROL, *judging.FULL, *judging.BWRAP, *judging.RESTRICTED_RUNS)
    terminalreporter.section("what each action came to")
    for line in (*table(ROWS, runs, made.made, made.lacking), "", *figures(ROWS, runs, made.made)):
        terminalreporter.write_line(line)
