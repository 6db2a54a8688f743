"""``backup`` and ``restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moorage.app import backup as files
from moorage.cli.options import Config, Socket, load_settings
from moorage.cli.output import amount, local_time, note, say
from moorage.store.archive import BackupManifest

commands = typer.Typer()

File = Annotated[Path, typer.Argument(metavar="FILE", help="The back-up.", show_default=False)]


@commands.command()
def backup(
    file: File,
    config: Config = None,
    socket: Socket = None,  # noqa: ARG001 - each command has it; this one asks the store itself
) -> None:
    """Back the store up into a file, while the host runs or not."""
    settings = load_settings(config)
    manifest = files.back_up(settings, file)
    say(f"{file}: {_told(manifest)}, {amount(file.stat().st_size)}.")
    note(
        f"Secrets in it are encrypted, and their keys are not in it: keep {settings.key_file} as well, elsewhere.\n"
        "Nor are plugins' private data: moorage storage NAME export"
    )


@commands.command()
def restore(
    file: File,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where the store holds rows: they are gone then.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: Config = None,
    socket: Socket = None,  # noqa: ARG001 - as above
) -> None:
    """Bring the store back from a back-up, while no host runs."""
    settings = load_settings(config)
    if replace and not yes and files.would_replace(settings):
        typer.confirm("All that the store holds now is gone then. Restore?", abort=True)
    manifest = files.restore(settings, file, replace=replace)
    say(f"Restored from {file}: {_told(manifest)}, of {local_time(manifest.made_at)}.")
    note(
        f"Secrets open with the keys that they were encrypted with: {settings.key_file}.\n"
        "Executions that were open go on, or are judged, when the host starts."
    )


def _told(manifest: BackupManifest) -> str:
    return f"{manifest.rows:,} rows of {len(manifest.tables)} tables, schema {manifest.revision}"
