"""``audit``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from moorage.cli.client import connect
from moorage.cli.options import AsJson, Config, OptionalName, Socket
from moorage.cli.output import indented, local_time, print_json, say
from moorage.cli.plain import one_line
from moorage.models.audit import AuditKind
from moorage.web.schemas.audit import AuditEntry

commands = typer.Typer()

_STYLES = {AuditKind.DENIED: "red", AuditKind.LINK_REFUSED: "bold red", AuditKind.ALLOWED: "green"}


@commands.command()
def audit(
    name: OptionalName = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="The newest ones.")] = 50,
    config: Config = None,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Print who did, or was denied, what."""
    with connect(config, socket) as api:
        answer = api.get("/audit", installation=name, limit=limit)
    if as_json:
        print_json(answer)
        return
    for item in answer["items"]:
        _print(AuditEntry.model_validate(item))
    if not answer["items"]:
        say(f"The audit has no entries{f' about {name}' if name else ''}.")


def _print(entry: AuditEntry) -> None:
    what = " ".join(part for part in (entry.action, entry.capability) if part)
    times = f" ({entry.count} times)" if entry.count > 1 else ""
    say(
        Text.assemble(
            (f"{local_time(entry.time)} ", "dim"),
            (f"{entry.kind.replace('_', ' '):<12} ", _STYLES.get(entry.kind, "")),
            (f"{one_line(entry.installation or '-')} ", "cyan"),
            one_line(f"{what} by {entry.actor}{times}"),
        )
    )
    if entry.message:
        indented(entry.message)
