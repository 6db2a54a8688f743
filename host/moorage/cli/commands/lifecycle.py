"""The life of workers: ``start``, ``stop``, ``release``, ``disable``, ``scale``, ``kill``, ``reload`` and their kin."""

from __future__ import annotations

import dataclasses
import getpass
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from moorage.cli.client import connect, installation
from moorage.cli.installation_page import current
from moorage.cli.options import AsJson, Config, Name, Socket, load_settings
from moorage.cli.output import print_json, say
from moorage.supervisor.direct import EndedDirectly, end_directly
from moorage.web.schemas.installations import Installation, StopReport

commands = typer.Typer()

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="For the audit, and for whoever asks why.")]


@commands.command()
def start(name: Name, config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Start an installation's worker."""
    with connect(config, socket) as api:
        answer = api.post(installation(name, "start"), about=name)
    _tell_state(answer, as_json)


@commands.command()
def stop(
    name: Name,
    hold: Annotated[
        str | None, typer.Option("--hold", metavar="REASON", help="Keep it stopped until released.", show_default=False)
    ] = None,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Let work in flight finish, then stop the worker."""
    if hold is not None and not hold.strip():
        raise typer.BadParameter("say why, for whoever wants to start it: --hold REASON", param_hint="--hold")
    with connect(config, socket) as api:
        answer = api.post(installation(name, "stop"), {"hold": hold or ""}, about=name)
    _tell_reports([answer], as_json, answer)


@commands.command()
def release(
    name: Name, reason: Reason = "", config: Config = None, socket: Socket = None, as_json: AsJson = False
) -> None:
    """End a hold or a quarantine; start again what was up before."""
    _bring_back("release", name, reason, config, socket, as_json)


@commands.command()
def enable(
    name: Name, reason: Reason = "", config: Config = None, socket: Socket = None, as_json: AsJson = False
) -> None:
    """Take work again; start again what was up before."""
    _bring_back("enable", name, reason, config, socket, as_json)


@commands.command()
def disable(
    name: Name, reason: Reason = "", config: Config = None, socket: Socket = None, as_json: AsJson = False
) -> None:
    """Let work in flight finish, and take no more until it is enabled."""
    with connect(config, socket) as api:
        answer = api.post(installation(name, "disable"), {"reason": reason}, about=name)
    _tell_reports([answer], as_json, answer)


@commands.command()
def scale(
    name: Name,
    replicas: Annotated[int, typer.Argument(metavar="N", help="Workers at a time.")],
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Say how many workers an installation has."""
    with connect(config, socket) as api:
        answer = api.post(installation(name, "scale"), {"replicas": replicas}, about=name)
    if as_json:
        print_json(answer)
        return
    found = Installation.model_validate(answer)
    what = "1 worker" if replicas == 1 else f"{replicas} workers"
    say(f"{found.id} {found.plugin.version} has {what} whenever it is up; now it is {found.state}.")


@commands.command()
def kill(
    name: Name,
    direct: Annotated[
        bool, typer.Option("--direct", help="Without asking the host: by its state folder and control group alone.")
    ] = False,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """End the worker and its processes at once.

    Work in flight is lost, and recorded so.
    """
    if direct:
        _tell_ended(end_directly(load_settings(config).state_dir, name, _person()), as_json)
        return
    with connect(config, socket) as api:
        answer = api.post(installation(name, "kill"), about=name)
    _tell_reports([answer], as_json, answer)


@commands.command("unload-all")
def unload_all(config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """Stop every worker."""
    with connect(config, socket) as api:
        answer = api.post("/unload-all")
    _tell_reports(answer["items"], as_json, answer)


def _bring_back(verb: str, name: str, reason: str, config: Path | None, socket: Path | None, as_json: bool) -> None:
    began = time.monotonic()
    with connect(config, socket) as api:
        answer = api.post(installation(name, verb), {"reason": reason}, about=name)
    _tell_state(answer, as_json, f" in {time.monotonic() - began:.1f} s" if answer["state"] == "ready" else "")


def _tell_state(answer: Any, as_json: bool, took: str = "") -> None:
    if as_json:
        print_json(answer)
        return
    found = Installation.model_validate(answer)
    worker = current(found)
    where = f" (#{worker.number}, pid {worker.pid}, sandbox {worker.sandbox_level})" if worker else ""
    more = f" Start it: moorage start {found.id}" if found.state == "stopped" and "moorage " not in found.reason else ""
    say(f"{found.id} {found.plugin.version} is {found.state}{took}{where}. {found.reason}".rstrip() + more)


def _tell_ended(ended: Sequence[EndedDirectly], as_json: bool) -> None:
    if as_json:
        print_json({"items": [dataclasses.asdict(each) for each in ended]})
        return
    for each in ended:
        say(each.sentence)


def _person() -> str:
    """Who is at the keyboard, also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _tell_reports(reports: Sequence[Any], as_json: bool, answer: Any) -> None:
    if as_json:
        print_json(answer)
        return
    for report in reports:
        say(StopReport.model_validate(report).sentence)
    if not reports:
        say("Nothing was running.")
