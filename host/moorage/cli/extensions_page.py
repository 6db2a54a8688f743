"""What people see of extension points."""

from __future__ import annotations

from moorage.cli.output import local_time, say, table
from moorage.web.schemas.extensions import ExtensionPoint, Implementation

_HEADINGS = ["VERSION", "STANDING", "CALLS", "FAILURES", "METHODS"]


def print_extension_points(points: list[ExtensionPoint]) -> None:
    if not points:
        say("The application has no extension points.")
    for number, point in enumerate(points):
        if number:
            say()
        _print_point(point)


def print_implementations(implementations: list[Implementation]) -> None:
    """Of one installation."""
    rows = [[each.point, *_cells(each)] for each in implementations]
    table(["EXTENSION", *_HEADINGS], rows, right=(3, 4))
    _print_sentences(implementations)


def _print_point(point: ExtensionPoint) -> None:
    also = f", also called: {', '.join(map(str, point.compatible))}" if point.compatible else ""
    say(f"{point.name} version {point.version}{also}", "bold")
    say(f"methods: {', '.join(point.methods)}")
    if not point.implementations:
        say("Nobody implements it.")
        return
    rows = [[each.installation, *_cells(each)] for each in point.implementations]
    table(["INSTALLATION", *_HEADINGS], rows, right=(3, 4))
    _print_sentences(point.implementations)


def _cells(each: Implementation) -> list[str]:
    return [str(each.version or ""), each.standing, str(each.calls), str(each.failures), ", ".join(each.methods)]


def _print_sentences(implementations: list[Implementation]) -> None:
    for each in implementations:
        if each.sentence:
            say(f"{each.installation}: {each.sentence}", "yellow")
        if each.last_failure:
            say(f"{each.installation}: last failure {local_time(each.last_failure_at)}: {each.last_failure}", "red")
