"""What ``doctor`` looks at: each check is a function that finds something out and says what it means."""

from __future__ import annotations

import asyncio
import errno
import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from packaging.version import Version
from uv import find_uv_bin

from moorage.config.services.sql import SqlBackend, SqlMode
from moorage.config.settings import EnvironmentSettings, Settings
from moorage.environments.interpreters import OLDEST, Interpreter, Interpreters
from moorage.errors import ExitCode
from moorage.supervisor.cgroups import probe_cgroups
from moorage.supervisor.probe import probe_sandbox
from moorage_sandbox.report import MissingLayer, SandboxReport, at_least

#: A venv with a few ordinary dependencies and the copy of the code.
ROOM_BYTES = 1024**3

_UV_SECONDS = 10


class Grade(StrEnum):
    GOOD = "good"
    #: It works, with less than there could be.
    WARNING = "warning"
    #: Plugins cannot run.
    BAD = "bad"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, in words for the operator."""

    name: str
    grade: Grade
    finding: str
    consequence: str = ""
    remedy: str = ""
    exit_code: ExitCode = ExitCode.FAILED


async def examine(settings: Settings) -> list[Check]:
    """All checks that need settings. Starts one throw-away worker; needs no host and changes nothing."""
    uv, interpreters, report = await asyncio.gather(
        check_uv(), Interpreters(settings.environments.interpreters).found(), probe_sandbox()
    )
    groups = await asyncio.to_thread(probe_cgroups, settings.sandbox.cgroup)
    return [
        check_python(),
        uv,
        check_interpreters(interpreters, settings.environments),
        check_state_dir(settings.state_dir),
        check_run_dir(settings.sockets),
        *check_sandbox(groups.in_report(report), settings.sandbox.require),
        check_host(settings.api_socket),
        *check_databases(settings.sql),
    ]


def check_databases(backends: Mapping[str, SqlBackend]) -> list[Check]:
    """Of those in which nothing stands beneath the host's own check of each statement."""
    return [
        Check(
            f"sql.{name}",
            Grade.WARNING,
            f"The database {name} has one fence alone: the host's own check of each statement.",
            "What gets around that check has all rights of the role that the URL names.",
            f'Set sql.{name}.mode to "managed", or to "provided"; moorage sql plan prints what makes the roles.',
        )
        for name, backend in sorted(backends.items())
        if backend.fence is SqlMode.SINGLE_FENCE
    ]


def check_python() -> Check:
    """The host's own; it would not have come this far on an older one."""
    return Check("Python", Grade.GOOD, f"The host runs on Python {platform.python_version()} ({sys.executable}).")


async def check_uv() -> Check:
    consequence = "No plugin can be installed: uv builds their virtual environments."
    remedy = "Install it beside the host: pip install uv."
    try:
        program = find_uv_bin()
        process = await asyncio.create_subprocess_exec(program, "--version", stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(_UV_SECONDS):
            answer, _ = await process.communicate()
    except (OSError, TimeoutError) as error:
        return Check("uv", Grade.BAD, f"uv cannot be run: {error}.", consequence, remedy)
    if process.returncode != 0:
        return Check("uv", Grade.BAD, f"{program} ended with {process.returncode}.", consequence, remedy)
    return Check("uv", Grade.GOOD, f"{answer.decode(errors='replace').strip()} is at {program}.")


def check_interpreters(found: Sequence[Interpreter], settings: EnvironmentSettings) -> Check:
    usable = {interpreter.version for interpreter in found if Version(interpreter.version) >= OLDEST}
    if not usable:
        return Check(
            "interpreters",
            Grade.BAD,
            f"No Python interpreter from {OLDEST} on was found.",
            "No plugin can be installed.",
            "Install a Python, or name one in environments.interpreters.",
        )
    versions = sorted(usable, key=Version)
    offline = " The settings say offline: dependencies come from the wheelhouse alone." if settings.offline else ""
    return Check("interpreters", Grade.GOOD, f"Plugins may run on Python {', '.join(versions)}.{offline}")


def check_state_dir(folder: Path) -> Check:
    name, remedy = "state folder", "Set state_dir to a folder that this user may write to."
    present = _nearest_present(folder)
    if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
        finding = f"{folder} cannot be written to by this user."
        return Check(name, Grade.BAD, finding, "The host cannot start.", remedy, ExitCode.CONFIG)
    free = shutil.disk_usage(present).free
    room = f"{folder} can be written to; {free / 1024**3:.1f} GiB are free."
    if free < ROOM_BYTES:
        consequence = "Virtual environments of plugins may not find room."
        return Check(name, Grade.WARNING, room, consequence, "Free some space, or set state_dir elsewhere.")
    return Check(name, Grade.GOOD, room)


def check_run_dir(folder: Path) -> Check:
    name, length = "run folder", len(os.fsencode(folder))
    remedy = "Set run_dir to a short path in a folder of this user's own."
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return Check(name, Grade.GOOD, f"{folder} will be made; {length} characters leave room for socket paths.")
    except OSError as error:
        return Check(name, Grade.BAD, f"{folder}: {error.strerror}.", "The host cannot start.", remedy, ExitCode.CONFIG)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        finding = f"{folder} is not a folder of this user."
        return Check(name, Grade.BAD, finding, "Its sockets would not be private.", remedy, ExitCode.CONFIG)
    return Check(name, Grade.GOOD, f"{folder} is this user's; {length} characters leave room for socket paths.")


def check_sandbox(report: SandboxReport, required: str) -> list[Check]:
    """One check for the level, with what is in force, and one for each layer that is missing."""
    enough = at_least(report.level, required)
    layers = [f"{layer:<10} {words}" for layer, words in report.layers.items()]
    finding = "\n".join([f"The level is {report.level}; {required} is required.", *layers])
    if enough:
        level = Check("sandbox", Grade.GOOD if not report.missing else Grade.WARNING, finding)
    else:
        remedy = f"Provide what is missing, below{_acceptable(report.level)}."
        level = Check("sandbox", Grade.BAD, finding, "Plugins do not start.", remedy, ExitCode.SANDBOX)
    return [level, *(_check_missing(missing, enough) for missing in report.missing)]


def _acceptable(level: str) -> str:
    """Never below a sandbox at all: that is nothing to propose."""
    if level == "none":
        return ""
    return f', or accept this level: sandbox.require = "{level}", or installations.NAME.sandbox for one plugin alone'


def check_host(api_socket: Path) -> Check:
    """Whether one runs is worth knowing and nothing to complain about."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            answer = probe.connect_ex(os.fsencode(api_socket))
        except OSError:  # the path is too long for a socket
            answer = errno.ENAMETOOLONG
    if answer in (0, errno.EAGAIN):
        return Check("host", Grade.GOOD, f"A host answers at {api_socket}.")
    return Check("host", Grade.GOOD, f"No host answers at {api_socket}; start one with: moorage serve")


def _check_missing(missing: MissingLayer, enough: bool) -> Check:
    grade = Grade.WARNING if enough else Grade.BAD
    name = f"sandbox: {missing.layer}"
    return Check(name, grade, missing.reason, missing.consequence, missing.remedy, ExitCode.SANDBOX)


def _nearest_present(folder: Path) -> Path:
    for candidate in (folder, *folder.absolute().parents):
        if candidate.exists():
            return candidate
    return Path("/")
