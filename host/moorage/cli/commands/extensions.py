"""``extensions``."""

from __future__ import annotations

import typer

from moorage.cli.client import connect
from moorage.cli.extensions_page import print_extension_points
from moorage.cli.options import AsJson, Config, Socket
from moorage.cli.output import print_json
from moorage.web.schemas.extensions import ExtensionPoint

commands = typer.Typer()


@commands.command()
def extensions(config: Config = None, socket: Socket = None, as_json: AsJson = False) -> None:
    """List the application's extension points, and who implements them."""
    with connect(config, socket) as api:
        answer = api.get("/extension-points")
    if as_json:
        print_json(answer)
    else:
        print_extension_points([ExtensionPoint.model_validate(each) for each in answer["items"]])
