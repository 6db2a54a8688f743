"""What ``excluded.toml`` says, for one database."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

import tomllib

FILE = Path(__file__).parents[1] / "excluded.toml"

#: The two reasons that count.
STOCK, BROKERED = "stock", "brokered"

_TOLD = re.compile(r"\[(stock|brokered)\] (\S+): ")


@dataclass(frozen=True)
class Excluded:
    """Why a requirement, or a test, is not asked of the dialect."""

    name: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"[{self.kind}] {self.name}: {self.reason}"

    def matches(self, test: str) -> bool:
        """Of names of tests: ``*`` stands for anything."""
        return fnmatch.fnmatchcase(test, self.name.replace("[", "[[]"))


def read(database: str) -> tuple[list[Excluded], list[Excluded]]:
    """Requirements, and tests."""
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))[database]

    def listed(what: str) -> list[Excluded]:
        return [
            Excluded(name, kind, reason) for kind in (STOCK, BROKERED) for name, reason in table[kind][what].items()
        ]

    return listed("requirements"), listed("tests")


def told_in(text: str) -> tuple[str, str] | None:
    """Kind and name of the exclusion that a skipped test names; None: the suite's own, such as another Python's."""
    found = _TOLD.search(text)
    return None if found is None else (found[1], found[2])
