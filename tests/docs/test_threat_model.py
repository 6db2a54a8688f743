"""docs/threat-model.md speaks the words of doctor and refusals, and names the actions that the suite proves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hostile.rows import NOT_BY_BWRAP, RESTRICTED, ROWS

from moorage_sandbox.layers import LAYERS

PAGE = (Path(__file__).parents[2] / "docs" / "threat-model.md").read_text()

#: Layers that no plugin is held by: what must be there for one to start at all.
NO_DEFENCE = {"files", "setup", "zygote"}


def stopped_by(layer: str) -> str:
    """ "1 to 17, 22, read_host_name": the actions that this layer alone stops."""
    rows = [row for row in ROWS if layer in {word.partition(".")[0] for word in row.layers}]
    numbers = sorted(row.number for row in rows if row.number)
    runs: list[list[int]] = [[number] for number in numbers[:1]]
    for before, number in pairwise(numbers):
        if number == before + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join([*words, *(f"`{row.name}`" for row in rows if not row.number)])


@pytest.mark.parametrize("layer", sorted(set(LAYERS) - NO_DEFENCE))
def test_every_layer_stands_with_doctors_words_and_its_actions(layer) -> None:
    assert f"| `{layer}` | {LAYERS[layer].consequence} | {stopped_by(layer)}" in PAGE


def test_what_lower_levels_let_through_is_listed() -> None:
    for row in ROWS:
        gets_through = bool(row.layers) and not row.layers & RESTRICTED and not row.refused
        if gets_through:
            assert f"`{row.name}`" in PAGE.split("## By level")[1], row.name
        if row.layers and row.layers <= NOT_BY_BWRAP:
            assert f"`{row.name}`" in PAGE.split("`full-bwrap`")[1], row.name


def test_the_figures_are_the_suites() -> None:
    assert f"{len(ROWS) - 1} hostile actions" in PAGE
