"""Options that many commands have, and where they lead: settings, socket, client."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from moorage.config.settings import Settings, SettingsInvalid, sentences

#: Read when nothing else names a configuration.
DEFAULT_CONFIG = Path("moorage.toml")

#: Each command has these two, and so has ``moorage`` itself, which reads the environment and hands the values down.
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings of the host, instead of ./moorage.toml.", show_default=False),
]
Socket = Annotated[
    Path | None,
    typer.Option("--socket", help="The host's API socket, instead of the settings' own.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the installation.", show_default=False)]
OptionalName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Only of this installation.", show_default=False)
]


def load_settings(config: Path | None) -> Settings:
    """Raises SettingsInvalid."""
    if config is None and DEFAULT_CONFIG.is_file():
        config = DEFAULT_CONFIG
    if config is not None:
        return Settings.load(config)
    try:
        return Settings.model_validate({})
    except ValidationError as error:
        raise SettingsInvalid(sentences(DEFAULT_CONFIG, error)) from error


def find_socket(config: Path | None, socket: Path | None) -> Path:
    return socket if socket is not None else load_settings(config).api_socket
