"""The plugin of the rehearsal: of what plugins commonly do, one of each."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Dict, List

from moorage_sdk import Context, Plugin


@dataclass
class Settings:
    word: str = ""


@dataclass
class Number:
    number: int


plugin = Plugin(settings=Settings)


@plugin.on_load
def prepare(ctx: Context, settings: Settings) -> None:
    """Takes what it is given."""
    assert (ctx.installation, settings.word) == ("moorage_sdk", "played")


@plugin.health
async def health() -> None:
    """Always well."""


@plugin.task
async def from_coroutine(log: logging.Logger, given: Number) -> Dict[str, List[int]]:
    """A result of several values."""
    log.debug("given %s", given)
    return {"numbers": [given.number]}


@plugin.task
def from_thread(ctx: Context, given: Number) -> int:
    """The same from a thread."""
    assert ctx.task == "from_thread"
    return given.number
