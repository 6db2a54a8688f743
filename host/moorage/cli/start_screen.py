"""What ``serve`` shows once the host is up."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.text import Text

from moorage import __version__
from moorage.cli.output import facts, indented, say
from moorage.config.settings import Settings
from moorage_sandbox.report import SandboxReport, at_least


def forgotten_at_exit(settings: Settings, kafka_servers: Mapping[str, str] | None = None) -> list[str]:
    """What of the services lives in the host's memory alone, in sentences. Pure. ``kafka_servers``: where embedded
    clusters listen, by name, for a developer's own tools."""
    at = {name: f", at {server}" for name, server in (kafka_servers or {}).items()}
    sentences = [
        f'Kafka "{name}" is a mock cluster inside this host{at.get(name, "")}: its topics are forgotten when the host '
        f"stops. Set kafka.{name}.bootstrap_servers to keep them."
        for name, backend in sorted(settings.kafka.items())
        if backend.bootstrap_servers == "embedded"
    ]
    sentences += [
        f'Redis "{name}" is a server inside this host: its keys are forgotten when the host stops. '
        f"Set redis.{name}.url to keep them."
        for name, backend in sorted(settings.redis.items())
        if backend.url == "embedded"
    ]
    sentences += [
        f'Service Bus "{name}" is a peer inside this host: its messages are forgotten when the host stops. '
        f"Set servicebus.{name}.connection_string to keep them."
        for name, backend in sorted(settings.servicebus.items())
        if backend.connection_string == "embedded"
    ]
    sentences += [
        f'SQL "{name}" is a database in memory: it is forgotten when the host stops. Set sql.{name}.url to a file.'
        for name, backend in sorted(settings.sql.items())
        if backend.url in ("sqlite://", "sqlite:///:memory:")
    ]
    return sentences


def print_host(settings: Settings) -> None:
    """The first lines, before anything is started."""
    say(Text.assemble(("Moorage ", "bold"), f"{__version__}"))
    folders = ", ".join(str(folder) for folder in settings.plugins.folders) or "no folders are scanned"
    facts(
        [
            ("process", f"{os.getpid()}, Python {platform.python_version()}"),
            ("state", settings.state_dir),
            ("plugins", "" if settings.sandbox.development else folders),
            ("database", _own_database(settings)),
        ]
    )


def _own_database(settings: Settings) -> str:
    """Of ``moorage dev``, where the settings name none: whoever develops has to make the application's tables in it."""
    file = settings.state_dir / "main.db"
    main = settings.sql.get("main")
    is_own = settings.sandbox.development and main is not None and main.url == f"sqlite:///{file}"
    return f"{file}: make the application's tables in it, or name its settings with --config" if is_own else ""


def print_sandbox(report: SandboxReport, required: str) -> None:
    """The level, and what is missing from it."""
    enough = at_least(report.level, required)
    level = Text(report.level, "green" if report.level == "full" else "bold yellow" if enough else "bold red")
    facts([("sandbox", level)])
    if not enough:
        indented(f"Plugins do not start here: {required} is required (sandbox.require). See: moorage doctor", "red")
    for missing in report.missing:
        indented(f"{missing.reason} {missing.consequence} {missing.remedy}", "yellow")


def print_ready(
    socket: Path, settings: Settings, installed: Iterable[str], kafka_servers: Mapping[str, str] | None = None
) -> None:
    """The last lines: where to go from here."""
    facts(
        [
            ("API", f"{socket} (this user only)"),
            ("webhooks", f"http://{settings.webhooks.listen}" if settings.webhooks.listen is not None else ""),
        ]
    )
    for sentence in forgotten_at_exit(settings, kafka_servers):
        indented(sentence, "dim", by=2)
    names = list(installed)
    example = names[0] if names else "NAME"
    say(f"\nReady with {len(names)} installation{'' if len(names) == 1 else 's'}. In another terminal:")
    tries = [("moorage ls", "what there is"), (f"moorage run {example}", "run it"), ("moorage logs -f", "watch")]
    if not names:
        tries = [("moorage new NAME", "write a plugin"), ("moorage install FOLDER", "install one"), *tries]
    facts(tries)
    say("Stop with Ctrl-C.", "dim")
