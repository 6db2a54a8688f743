"""What people see of installations."""

from __future__ import annotations

from rich.text import Text

from moorage.cli.extensions_page import print_implementations
from moorage.cli.grants_page import print_grants
from moorage.cli.output import duration, facts, indented, local_time, say, size, state_text, stated, table
from moorage.cli.plain import one_line
from moorage.cli.triggers_page import policy_line, trigger_lines
from moorage.models.levels import level_name
from moorage.web.schemas.installations import (
    Author,
    BrokenPlugin,
    Handler,
    Incarnation,
    Installation,
    Usage,
    Verdict,
)
from moorage.web.schemas.levels import Level
from moorage.web.schemas.policies import PolicyValue
from moorage.web.schemas.triggers import Trigger

#: The latest starts that a page lists.
SHOWN_WORKERS = 5

#: Of a verdict's last lines, where there is neither traceback nor stack.
SHOWN_LINES = 20


def print_installations(installed: list[Installation]) -> None:
    if not installed:
        say("There are no installations yet. Add one with: moorage install FOLDER")
        return
    table(
        ["INSTALLATION", "VERSION", "STATE", "LEVEL", "WORKER", "CALLS", "DENIED"],
        [_row(each) for each in installed],
        right=(5, 6),
    )
    for each in installed:
        if each.reason:
            more = "" if "moorage " in each.reason else f" moorage why {each.id}"
            say(f"\n{stated(f'{each.id} is {each.state}', each.reason)}{more}", "yellow")


def print_broken(broken: list[BrokenPlugin]) -> None:
    for each in broken:
        say(f"\nnot usable: {each.path}", "red")
        indented(each.problem, by=2)


def print_installation(found: Installation, triggers: list[Trigger], policy: list[PolicyValue]) -> None:
    """The whole page of one installation."""
    heading = Text.assemble((one_line(found.id), "bold"), " ", one_line(found.plugin.version), "  ")
    say(heading + state_text(found.state))
    if found.plugin.description:
        say(found.plugin.description)
    if found.reason:
        say(found.reason, "yellow")
    facts([*_facts(found), ("triggers", trigger_lines(triggers)), ("policy", policy_line(policy))])
    _print_tasks(found)
    if found.extensions:
        say()
        print_implementations(found.extensions)
    if found.grants or found.denials:
        say()
    print_grants(found)
    _print_workers(found.incarnations)


def current(found: Installation) -> Incarnation | None:
    """The worker that lives, if one does."""
    newest = found.incarnations[0] if found.incarnations else None
    return newest if newest is not None and newest.state != "stopped" else None


def _row(found: Installation) -> list[Text | str]:
    worker = current(found)
    return [
        found.id,
        found.plugin.version,
        state_text(found.state),
        _level_of(found, worker),
        f"#{worker.number} pid {worker.pid}" if worker else "",
        str(found.calls) if worker else "",
        str(found.denied) if worker else "",
    ]


def _facts(found: Installation) -> list[tuple[str, object]]:
    plugin, limits, worker = found.plugin, found.plugin.limits, current(found)
    return [
        ("plugin", plugin.name if plugin.name != found.id else ""),
        ("entry point", plugin.entry_point),
        ("authors", ", ".join(_author(author) for author in plugin.authors)),
        ("licence", plugin.license),
        ("tags", ", ".join(plugin.tags)),
        ("python", plugin.requires_python),
        ("depends on", ", ".join(plugin.dependencies)),
        ("source", found.source_path),
        ("installed", local_time(found.installed_at)),
        ("loaded", local_time(found.loaded_at)),
        ("worker", _worker(worker) if worker else ""),
        ("gate", f"{found.calls} {'call' if found.calls == 1 else 'calls'}, {found.denied} denied" if worker else ""),
        (
            "limits",
            f"{size(limits.memory_bytes)} memory, {duration(limits.timeout_seconds)} a run, "
            f"{limits.concurrency} at a time, {limits.pids} processes and threads"
            f"{'' if limits.cpus is None else f', {limits.cpus:g} CPUs'}"
            f"{'' if limits.data_bytes is None else f', {size(limits.data_bytes)} of data'}"
            f", {limits.data_files:,} files of data",
        ),
        ("single fence", _single_fence(found)),
        ("log level", ", ".join(map(_level, found.log_levels))),
        ("without effect", found.unenforced),
        ("uses", _use(found.usage) if found.usage else ""),
        ("hooks", ", ".join(found.hooks)),
        *((name, url) for name, url in plugin.urls.items()),
    ]


def _level_of(found: Installation, worker: Incarnation | None) -> str:
    """What really keeps it in: the kernel's level, and databases that add nothing to the host's own check."""
    if worker is None:
        return ""
    return ", ".join([worker.sandbox_level, *(f"single-fence {name}" for name in found.single_fences)])


def _single_fence(found: Installation) -> str:
    if not found.single_fences:
        return ""
    return f"nothing but the host's own check keeps it to its rights in: {', '.join(found.single_fences)}"


def _level(level: Level) -> str:
    until = f" until {local_time(level.until)}" if level.until else ""
    return f"{level.logger or 'all loggers'} {level_name(level.level)}{until}"


def _use(usage: Usage) -> str:
    """What may not be read is left out."""
    parts = [
        f"{usage.cpu_percent:.0f} % CPU ({duration(usage.cpu_seconds)} in all)",
        f"{usage.memory_bytes / 2**20:.0f} MiB memory (at most {usage.peak_memory_bytes / 2**20:.0f})",
        "1 process" if usage.processes == 1 else f"{usage.processes} processes",
    ]
    if usage.descriptors is not None:
        parts.append(f"{usage.descriptors} descriptors")
    if usage.read_bytes is not None and usage.written_bytes is not None:
        parts.append(f"{usage.read_bytes / 2**20:.1f} MiB read, {usage.written_bytes / 2**20:.1f} MiB written")
    return ", ".join([*parts, f"{usage.calls_per_second:.1f} calls/s, {usage.denied_per_second:.1f} denied/s"])


def _author(author: Author) -> str:
    return f"{author.name} <{author.email}>" if author.email else author.name


def _worker(worker: Incarnation) -> str:
    return (
        f"#{worker.number} pid {worker.pid}, sandbox {worker.sandbox_level}, {worker.start}, Python {worker.python}, "
        f"protobuf {worker.protobuf}, grpcio {worker.grpcio}"
    )


def _print_tasks(found: Installation) -> None:
    if found.tasks:
        say()
        table(["TASK", "WHAT IT DOES"], [[task.name, task.summary] for task in found.tasks])
    if found.handlers:
        say()
        table(["EVENT", "HANDLER"], [[each.topic, _handler(each)] for each in found.handlers])


def _handler(handler: Handler) -> str:
    name = handler.name.removeprefix(f"{handler.topic} ")
    return f"{name}, which replies" if handler.replies else name


def _print_workers(incarnations: list[Incarnation]) -> None:
    if not incarnations:
        return
    say()
    table(
        ["WORKER", "STARTED", "STATE", "HOW IT ENDED"],
        [
            [
                f"#{each.number}",
                local_time(each.started_at),
                state_text(each.state),
                each.verdict.sentence if each.verdict else "",
            ]
            for each in incarnations[:SHOWN_WORKERS]
        ],
    )
    newest = incarnations[0].verdict
    if newest is not None and not newest.planned:
        _print_verdict(newest)


def _print_verdict(verdict: Verdict) -> None:
    """What explains it best, and what to do. All of it is in the JSON."""
    words = verdict.traceback or verdict.stack or "\n".join(verdict.lines[-SHOWN_LINES:])
    if words:
        say()
        indented(words, "dim", by=2)
    if verdict.remedy:
        say(f"\n{verdict.kind}: {verdict.remedy}")
