"""How what plugins implement stands to the application's extension points, and which of it is called. Pure."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moorage.models.extensions import Extension, Standing
from moorage_proto.capability import EXTENSIONS_IMPLEMENT
from moorage_proto.typed.extension import Point
from moorage_proto.typed.fit import fitting


@dataclass(frozen=True)
class Judged:
    """One implementation, by its types alone."""

    standing: Standing
    #: Empty where there is nothing to say.
    sentence: str = ""
    #: Those that may be called; none where it is not called.
    methods: tuple[str, ...] = ()


class Judge:
    """Judges each implementation once."""

    def __init__(self, points: Iterable[Point]) -> None:
        self.points: Mapping[str, Point] = {point.name: point for point in points}
        self._judged: weakref.WeakKeyDictionary[Extension, Judged] = weakref.WeakKeyDictionary()

    def of(self, extension: Extension) -> Judged:
        found = self._judged.get(extension)
        if found is None:
            found = self._judged[extension] = self._judge(extension)
        return found

    def callable(self, extensions: Iterable[Extension], point: str) -> tuple[Extension, Judged] | None:
        """The newest version that the host calls; None: none is."""
        judged = [(each, self.of(each)) for each in extensions if each.point == point]
        fits = [(each, found) for each, found in judged if found.methods]
        return max(fits, key=lambda pair: pair[0].version, default=None)

    def _judge(self, extension: Extension) -> Judged:
        point = self.points.get(extension.point)
        if point is None:
            return Judged(Standing.UNKNOWN, _unknown(extension.point, self.points))
        found = fitting(point, extension.version, extension.contract)
        named = tuple(name for name in found.methods if name in extension.methods)
        return Judged(Standing(found.fit.value), found.sentence, named)


def not_granted(installation: str, point: str) -> str:
    return (
        f"It implements {point}, and lacks the right to be called: moorage grant {installation}"
        f" '{EXTENSIONS_IMPLEMENT}:{point}'"
    )


def not_implemented(method: str, chosen: tuple[Extension, Judged] | None) -> str:
    if chosen is None:
        return f"It implements no version of {method} that this host calls."
    return f"It implements version {chosen[0].version}, which has no {method}."


def not_loaded(point: str) -> str:
    return f"It may be called for {point}; whether it implements it is known when it has started."


def _unknown(point: str, known: Iterable[str]) -> str:
    names = ", ".join(sorted(known))
    there = f"there are: {names}" if names else "it has none"
    return f"The application has no extension point {point}; {there}. It is not called."
