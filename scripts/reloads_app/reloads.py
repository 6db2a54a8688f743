"""Reloads a plugin again and again under steady load, and counts what failed or was lost."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import shutil
import sqlite3
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import uvloop
from load import Load

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.models.manifest import ReloadMode
from moorage.models.reload import ReloadReport

HERE = Path(__file__).parent
NAME = "carousel"
ROWS = 2000

#: Between two reloads: what the same machine and load do without one.
QUIET_SECONDS = 0.25


def write_version(project: Path, version: str) -> None:
    for name in ("pyproject.toml", "carousel.py"):
        text = (HERE / "plugin" / name).read_text()
        (project / name).write_text(text.replace('"1.0.0"', f'"{version}"'))


def make_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE lines (content TEXT)")
        connection.executemany("INSERT INTO lines VALUES (?)", [("x" * 100,) for _ in range(ROWS)])


async def measure(folder: Path, count: int, modes: list[ReloadMode]) -> dict[str, Any]:
    make_database(folder / "app.db")
    project = folder / "project"
    shutil.copytree(HERE / "plugin", project)
    settings = Settings.model_validate(
        {
            "state_dir": folder / "state",
            "run_dir": folder / "run",
            "kafka": {},
            "sql": {"main": {"url": f"sqlite:///{folder / 'app.db'}"}},
        }
    )
    reports: list[ReloadReport] = []
    quiet: list[float] = []
    gaps: dict[ReloadMode, list[float]] = {mode: [] for mode in modes}
    async with Host(settings) as host:
        await host.install(project, grant_required=True)
        await host.start(NAME)
        async with Load(host, NAME) as load:
            for number, mode in zip(range(1, count + 1), itertools.cycle(modes), strict=False):
                version = f"1.{number}.0"
                write_version(project, version)
                load.take_gap()
                await asyncio.sleep(QUIET_SECONDS)
                quiet.append(load.take_gap())
                reports.append(await host.reload(NAME, mode=mode))
                # The new version is not only there, it does work.
                await load.until_served(version)
                gaps[mode].append(load.take_gap())
                if number % 10 == 0:
                    print(f"reloads: {number} of {count}, {load.calls} calls", file=sys.stderr)
        handed_over = await host.call(NAME, "reloads")
        left = len((await host.installation(NAME)).incarnations)
    return figures(load, reports, gaps) | {
        "no reload: no start seen, ms": spread(quiet),
        "states handed over": handed_over,
        "workers remembered": left,
    }


def figures(load: Load, reports: list[ReloadReport], gaps: dict[ReloadMode, list[float]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "reloads": len(reports),
        "calls": load.calls,
        "failed or lost calls": load.failed,
        "executions drained": sum(len(report.drained) for report in reports),
    }
    for mode, seen in gaps.items():
        held = [report.gap.total_seconds() for report in reports if report.mode == mode]
        if held:
            found[f"{mode}: no start allowed, ms"] = spread(held)
            found[f"{mode}: no start seen, ms"] = spread(seen)
    return found | {
        "slowest call, ms": round(load.slowest_call * 1000, 1),
        "outcomes": dict(load.outcomes),
        "errors": load.errors[:5],
    }


def spread(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds) * 1000:.1f}, longest {max(seconds) * 1000:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/reloads", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="how many reloads (100)")
    parser.add_argument("--mode", choices=["beside", "in_turn"], help="one way alone; by default the two take turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--relative-to", type=Path, default=Path(), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    modes: list[ReloadMode] = [arguments.mode] if arguments.mode else ["beside", "in_turn"]
    with (
        tempfile.TemporaryDirectory(prefix="mrg-reloads-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(measure(Path(folder), arguments.count, modes))
    for name, value in found.items():
        print(f"{name:<34}{value}")
    if arguments.json:
        (arguments.relative_to / arguments.json).write_text(json.dumps(found, indent=2) + "\n")
    raise SystemExit(found["failed or lost calls"] > 0 or found["states handed over"] != arguments.count)


if __name__ == "__main__":
    main()
