"""Floods a host from one plugin in every way there is, and measures a quiet plugin beside it, and the host's memory."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from floods import FLOODS, Flood
from measure import Measured, measure, quiet_calls
from stage import MIB, Stage, Watch

#: The neighbour's median call, flooded to quiet.
MOST_RATIO = 2.0
#: A ratio above that is measured so often more, and their median counts: this machine has other work, too.
MORE_ROUNDS = 2
#: What one flooding installation may make the host take: what waits in its link both ways, and one large message on its
#: way through each of its threads.
MOST_MIB = 256.0
#: Of that, what may be left afterwards, in memory that the allocator keeps.
MOST_LEFT_MIB = 128.0
WARM_UP_SECONDS = 3.0


def judge(found: Measured, *, by_ratio: bool) -> list[str]:
    """What does not hold, in sentences. Pure."""
    problems = []
    assert found.flooded is not None
    failures = [sentence for calls in (*found.quiet, found.flooded) for sentence in calls.failures]
    if failures:
        problems.append(f"calls of the neighbour failed: {failures[0]}")
    if by_ratio and found.ratio > MOST_RATIO:
        problems.append(f"the neighbour's calls took {found.ratio:.1f} times as long")
    if found.peak_mib > MOST_MIB:
        problems.append(f"the host took {found.peak_mib:.0f} MiB more")
    if found.after_mib > MOST_LEFT_MIB:
        problems.append(f"the host keeps {found.after_mib:.0f} MiB")
    if found.fate != "throttled" and found.fate not in found.flood.verdicts:
        problems.append(f"the flooder's end is not a true one: {found.fate}")
    return problems


def run(stage: Stage, asked: argparse.Namespace) -> bool:
    chosen = [flood for flood in FLOODS if not asked.only or flood.task in asked.only]
    with stage.api() as api:
        layer = api.get("/system")["sandbox"]["layers"].get("cgroup", "missing")
    cpu_is_bounded = "CPU" in layer
    print(f"control groups: {layer}; load of the machine: {' '.join(f'{one:.1f}' for one in os.getloadavg())}")
    if not cpu_is_bounded:
        print("cpu: not bounded here; ratios are printed and not judged")
    if "memory" not in layer:
        print("memory: what is shared is not bounded here; that flood is left out")
        chosen = [flood for flood in chosen if flood.task != "shared_memory"]
    print(HEAD)
    figures = []
    with Watch(stage.pid) as watch:
        quiet_calls(stage, WARM_UP_SECONDS)
        begin = watch.now()
        for flood in chosen:
            found = judged(stage, watch, flood, asked.seconds, by_ratio=cpu_is_bounded and not asked.any_ratio)
            show(found)
            figures.append(dataclasses.asdict(found) | {"flood": flood.task})
        end = watch.now()
    grown = (end.memory_bytes - begin.memory_bytes) / MIB
    print(f"\nhost: {begin.memory_bytes / MIB:.0f} MiB before all floods, {grown:+.0f} MiB after them;", end=" ")
    print(f"{begin.descriptors} descriptors, {end.descriptors - begin.descriptors:+d};", end=" ")
    print(f"{begin.threads} threads, {end.threads - begin.threads:+d};", end=" ")
    print(f"load of the machine: {' '.join(f'{one:.1f}' for one in os.getloadavg())}")
    if asked.json:
        (asked.relative_to / asked.json).write_text(json.dumps(figures, indent=1))
    return not any(found["problems"] for found in figures)


def judged(stage: Stage, watch: Watch, flood: Flood, seconds: float, *, by_ratio: bool) -> Measured:
    found = measure(stage, watch, flood, seconds)
    if by_ratio and found.ratio > MOST_RATIO:
        more = [found, *(measure(stage, watch, flood, seconds) for _ in range(MORE_ROUNDS))]
        ratios = [each.ratio for each in more]
        found = dataclasses.replace(
            next(each for each in more if each.ratio == statistics.median(ratios)),
            peak_mib=max(each.peak_mib for each in more),
            after_mib=max(each.after_mib for each in more),
        )
        found.words = f"ratios {', '.join(f'{each:.1f}' for each in ratios)}; {found.words}"
    found.problems = judge(found, by_ratio=by_ratio)
    return found


HEAD = (
    f"{'flood':<18}{'config.get, ms':>17}{'SELECT, ms':>17}{'ratio':>7}{'p99':>7}"
    f"{'host MiB':>15}{'fds':>6}{'disk':>7}{'cores':>7}  fate"
)


def show(found: Measured) -> None:
    assert found.flooded is not None
    read = statistics.mean(each.read for each in found.quiet)
    select = statistics.mean(each.select for each in found.quiet)
    print(
        f"{found.flood.task:<18}"
        f"{f'{read:.2f} > {found.flooded.read:.2f}':>17}{f'{select:.2f} > {found.flooded.select:.2f}':>17}"
        f"{found.ratio:>7.2f}{found.flooded.p99:>7.1f}"
        f"{f'{found.peak_mib:+.0f} then {found.after_mib:+.0f}':>15}{found.descriptors:>+6d}{found.disk_mib:>+7.0f}"
        f"{found.cores:>7.1f}  {found.fate}: {found.words}",
        flush=True,
    )
    if found.fate == "throttled":
        print(f"{'':<18}held by {found.flood.bounded_by}")
    for problem in found.problems:
        print(f"{'':<18}NOT well: {problem}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/neighbours", description=__doc__)
    names = [flood.task for flood in FLOODS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="FLOOD", help="these alone")
    parser.add_argument("--list", action="store_true", help="what floods there are")
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="of each flood (3)")
    parser.add_argument("--any-ratio", action="store_true", help="ratios are not judged: this machine has other work")
    parser.add_argument("--without-cgroups", action="store_true", help="as on a machine that lets nobody have any")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--relative-to", type=Path, default=Path(), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.list:
        for flood in FLOODS:
            print(f"{flood.task:<18}{flood.bounded_by}")
        return 0
    options = '[sandbox]\ncgroup = "off"\n' if asked.without_cgroups else ""
    folder = Path(tempfile.mkdtemp(prefix="neighbours-"))
    folder.chmod(0o755)
    run_folder = Path(tempfile.mkdtemp(prefix="nbr-"))
    try:
        with Stage(folder, run_folder, options) as stage:
            good = run(stage, asked)
    finally:
        shutil.rmtree(run_folder, ignore_errors=True)
    print(f"neighbours: {'nobody noticed' if good else f'NOT well; its folder: {folder}'}")
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
