"""What the runs prove of the table. Pure: outcomes in, findings out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hostile.rows import ESCAPED, FORBIDDEN, LAYERS, NOT_BY_BWRAP, RESTRICTED, USER, Row


@dataclass(frozen=True)
class Run:
    """One way to have the actions tried."""

    name: str
    #: "control", "full", "full-bwrap", "restricted", or "ablation".
    kind: str
    #: "root" or "user": who the host is.
    host: str = "user"
    start: str = "zygote"
    #: What was taken away; of ``LAYERS``.
    dropped: frozenset[str] = frozenset()

    @property
    def layers(self) -> frozenset[str]:
        """What stands in the way."""
        if self.kind == "control":
            return frozenset()
        if self.kind == "restricted":
            return RESTRICTED | ({USER} if self.host == "root" else set())
        missing = NOT_BY_BWRAP if self.kind == "full-bwrap" else self.dropped
        return frozenset({*LAYERS, USER}) - missing

    @property
    def has_own_network(self) -> bool:
        return "network" in self.layers


CONTROL = Run("control", "control")
FULL = tuple(
    Run(f"full {host} {'forked' if start == 'zygote' else 'fresh'}", "full", host, start)
    for host in ("root", "user")
    for start in ("zygote", "fresh")
)
BWRAP = tuple(Run(f"bwrap {host}", "full-bwrap", host, "fresh") for host in ("root", "user"))
RESTRICTED_RUNS = tuple(Run(f"restricted {host}", "restricted", host) for host in ("root", "user"))

#: With nothing, with each layer alone, and without each: as an ordinary user, to whom the machine is not at risk. As
#: root only one at a time, as the others must hold it.
NOTHING = Run("no layer", "ablation", dropped=frozenset(LAYERS))
ALONE = tuple(Run(f"only {layer}", "ablation", dropped=frozenset(LAYERS) - {layer}) for layer in LAYERS)
WITHOUT = tuple(
    Run(f"without {layer}, {host}", "ablation", host, dropped=frozenset({layer}))
    for host in ("user", "root")
    for layer in LAYERS
)


#: Of an action that a run left out.
UNTRIED = "untried"


@dataclass(frozen=True)
class Finding:
    row: Row
    run: Run
    outcome: str
    problem: str

    def __str__(self) -> str:
        return f"{self.row.label} {self.row.name}, {self.run.name}: {self.outcome} ({self.problem})"


def judge_control(row: Row, outcome: str, lacking: str) -> str:
    """``lacking``: what the machine has not got. Returns the problem, or ""."""
    if outcome == ESCAPED:
        return ""
    if row.refused or lacking:
        return "" if _is_refusal(outcome) else "the control is broken"
    return "the control must escape, or a refusal proves nothing"


def judge(row: Row, run: Run, outcome: str, control: str) -> str:
    """The problem with what came of an action in a sandbox, or ""."""
    if outcome == UNTRIED:
        return ""
    if row.granted:
        return "" if outcome == ESCAPED else "what was granted does not work"
    if run.kind == "full":
        return "" if outcome in row.stopped else _problem(outcome, "other than the table says")
    undone = run.host == "root" and bool(row.undone_by & run.dropped)
    if row.layers & run.layers and not undone:
        return "" if _is_refusal(outcome) or outcome in row.stopped else _problem(outcome, "no refusal")
    if outcome != ESCAPED and control == ESCAPED:
        return "something stops it that the table does not name"
    return ""


def _problem(outcome: str, otherwise: str) -> str:
    return "ESCAPE" if outcome == ESCAPED else otherwise


def _is_refusal(outcome: str) -> bool:
    """An errno's name, or the end that a forbidden call has."""
    return outcome in (FORBIDDEN, "UNHEARD", "MemoryError", "RuntimeError", "ValueError", "KeyError") or (
        outcome.startswith("E") and outcome.isupper()
    )


def idle_layers(rows: tuple[Row, ...], outcomes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Layers that stop nothing: with them alone, everything comes of an action that came of it without any layer."""
    nothing = outcomes[NOTHING.name]
    return [
        layer
        for layer, run in zip(LAYERS, ALONE, strict=True)
        if all(outcomes[run.name][row.name] == ESCAPED for row in rows if nothing[row.name] == ESCAPED)
    ]
