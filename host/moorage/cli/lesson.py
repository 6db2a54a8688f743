"""What ``moorage dev --learn`` prints at its end."""

from __future__ import annotations

from pathlib import Path

from moorage.cli.output import complain, note, say_verbatim
from moorage.errors import MoorageError
from moorage.packages.manifest import read_manifest
from moorage_proto.learning import Learnt, Request, lesson


def print_lesson(folder: Path, learnt: Learnt) -> None:
    """The smallest manifest for what was used, on standard output; the rest on standard error."""
    note("The smallest manifest for what was used; under [tool.moorage] in pyproject.toml:")
    for line in lesson(learnt.needs, _requests(folder)).lines:
        say_verbatim(line)
    if learnt.overflowed:
        note("More was used than could be remembered.")


def _requests(folder: Path) -> tuple[Request, ...]:
    """The entries that it has now, for their reasons."""
    try:
        asked = read_manifest(folder).capabilities
    except MoorageError as error:
        complain(error)
        return ()
    return tuple(Request(each.capability, each.because, each.required) for each in asked)
