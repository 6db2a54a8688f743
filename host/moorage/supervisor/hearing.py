"""What a worker makes of news: settings that were changed while it lives."""

from __future__ import annotations

from collections.abc import Callable

from moorage.models.config import Heard, Hearing
from moorage_proto.errors import CallError, Reason


def hearing_of(number: int, error: CallError, plain: Callable[[str], str]) -> Heard:
    """Of a change that was not taken. ``plain`` makes a plugin's words fit to be shown. Pure."""
    if error.reason == Reason.METHOD_UNKNOWN:
        sentence = "Its SDK knows of no changes while it runs: settings that it reads by key are the new ones, and all"
        return Heard(number, Hearing.UNHEARD, f"{sentence} are from its next start on.")
    if error.reason == Reason.DEADLINE_EXCEEDED:
        return Heard(number, Hearing.UNHEARD, "It has not answered in time; its plugin is busy, or its hook hangs.")
    if error.reason == Reason.LINK_CLOSED:
        return Heard(number, Hearing.UNHEARD, "It ended meanwhile; the next one starts with the new settings.")
    if error.reason == Reason.LOAD_FAILED:
        then = "It goes on with the settings that it had, and the new ones would keep the next one from starting."
        said = plain(error.message)
        end = "" if said.endswith((".", "?", "!")) else "."
        return Heard(number, Hearing.REFUSED, f"{said}{end} {then}")
    return Heard(number, Hearing.REFUSED, plain(error.message))
