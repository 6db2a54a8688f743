"""Runs SQLAlchemy's suite for dialects, each database and driver in a process of its own, and counts."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SUITE = HERE / "suite"
sys.path[:0] = [str(SUITE), str(HERE.parents[1] / "tests" / "support")]

from exclusions import BROKERED, STOCK, read  # noqa: E402 - found by the line above

DATABASES = ("sqlite", "postgresql")
DRIVERS = {"sync": "moorage", "async": "moorage_async"}

#: A cross-section of the suite.
SHORT = (
    "InsertBehavior or LastrowidTest or RowCountTest or JSONTest or DateTimeTest or NumericTest or ServerSideCursors "
    "or SavePoint or HasTable or CTETest or ReturningTest or AutocommitIsolation or BizarroCharacter or EnumTest"
)


@dataclass(frozen=True)
class Outcome:
    """How many tests passed, and so on."""

    counts: dict[str, int]
    #: "stock array_type" -> tests that were skipped for it.
    excluded: dict[str, int]

    @property
    def is_good(self) -> bool:
        return self.counts.get("passed", 0) > 0 and not self._failed

    @property
    def _failed(self) -> int:
        return self.counts.get("failed", 0) + self.counts.get("errors", 0)

    def __str__(self) -> str:
        count = self.counts.get
        return (
            f"{count('passed', 0)} passed, {self._failed} failed; excluded: {count(STOCK, 0)} that SQLAlchemy's own "
            f"dialect lacks, {count(BROKERED, 0)} by brokering, {count('others', 0)} by the suite itself"
        )


def run(database: str, url: str, *, stock: bool, more: list[str]) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = {
            **os.environ,
            "MOORAGE_DIALECTS_DATABASE": database,
            "MOORAGE_DIALECTS_REPORT": str(report),
            "MOORAGE_DIALECTS_STOCK": "1" if stock else "",
        }
        command = [sys.executable, "-m", "pytest", "-c", "setup.cfg", "--rootdir", ".", "test_suite.py"]
        subprocess.run([*command, "--dburi", url, *more], cwd=SUITE, env=environment, check=False)
        if not report.exists():
            return Outcome({"failed": 1}, {})
        told = json.loads(report.read_text(encoding="utf-8"))
        return Outcome(told["outcomes"], told["excluded"])


@contextlib.contextmanager
def stock_url(database: str) -> Iterator[str]:
    if database == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/app.db"
    else:
        from servers.postgres import postgres_server  # noqa: PLC0415 - of the tests, which SQLite does without

        with postgres_server() as server:
            yield server.url().replace("postgresql:", "postgresql+psycopg:", 1)


def reasons(database: str, outcome: Outcome) -> Iterator[str]:
    for excluded in itertools.chain(*read(database)):
        count = outcome.excluded.get(f"{excluded.kind} {excluded.name}", 0)
        yield f"  {count or '-':>5}  {excluded.kind:9} {excluded.name}: {excluded.reason}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", nargs="?", choices=DATABASES)
    parser.add_argument("--driver", choices=DRIVERS)
    parser.add_argument("--short", action="store_true", help="a cross-section, in less than a minute")
    parser.add_argument("--stock", action="store_true", help="the same tests against SQLAlchemy's own dialects")
    parser.add_argument("--reasons", action="store_true", help="how many tests each exclusion concerns")
    chosen, more = parser.parse_known_args()
    if chosen.short:
        more += ["-k", SHORT]
    lines, outcomes = [], []
    for database in [chosen.database] if chosen.database else DATABASES:
        drivers = ["stock"] if chosen.stock else [chosen.driver] if chosen.driver else list(DRIVERS)
        for driver in drivers:
            with contextlib.ExitStack() as stack:
                if chosen.stock:
                    url = stack.enter_context(stock_url(database))
                else:
                    url = f"{database}+{DRIVERS[driver]}:///main"
                outcome = run(database, url, stock=chosen.stock, more=more)
            outcomes.append(outcome)
            lines.append(f"dialects: {database}, {driver}: {outcome}")
            if chosen.reasons:
                lines.extend(reasons(database, outcome))
    print(*lines, sep="\n")
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
