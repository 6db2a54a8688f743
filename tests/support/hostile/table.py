"""The suite's results, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hostile.judging import CONTROL, Run
from hostile.rows import ESCAPED, Row

_SHORT = {ESCAPED: "ESCAPED", "forbidden": "killed"}

#: Of each action, by its name, in each run, by its name.
Outcomes = Mapping[str, Mapping[str, str]]


def table(rows: Sequence[Row], runs: Sequence[Run], outcomes: Outcomes, lacking: Mapping[str, str]) -> list[str]:
    """One line for each action: what came of it in each run, and the layers that stop it."""
    shown = [run for run in runs if run.name in outcomes and run.kind != "ablation"]
    header = ["#", "action", *(run.name for run in shown), "layers"]
    lines = [header, *([*_cells(row, shown, outcomes, lacking)] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _cells(row: Row, shown: Sequence[Run], outcomes: Outcomes, lacking: Mapping[str, str]) -> list[str]:
    cells = [row.label, row.name]
    for run in shown:
        outcome = outcomes[run.name].get(row.name, "")
        text = "works" if row.granted and outcome == ESCAPED else _SHORT.get(outcome, outcome)
        cells.append(text)
    note = "" if outcomes.get(CONTROL.name, {}).get(row.name) == ESCAPED else lacking.get(row.name) or row.refused
    return [*cells, ", ".join(sorted(row.layers)) + (f"  [not proven here: {note}]" if note else "")]


def figures(rows: Sequence[Row], runs: Sequence[Run], outcomes: Outcomes) -> list[str]:
    """ "0 escapes of 108 in full root forked." """
    lines = []
    for run in runs:
        if run.name in outcomes:
            tried = [row for row in rows if row.name in outcomes[run.name] and not row.granted]
            escapes = [row.name for row in tried if outcomes[run.name][row.name] == ESCAPED]
            killed = sum(outcomes[run.name][row.name] == "forbidden" for row in tried)
            named = f": {', '.join(escapes)}" if run.kind in ("restricted", "full-bwrap") and escapes else ""
            lines.append(f"{len(escapes)} escapes of {len(tried)}, {killed} killed: {run.name}{named}")
    return lines
