"""Sources of the application that embeds the host: what starts executions is then its own matter.

An object with a name and a ``run``, or an async generator function that yields signals::

    async def lines(options):
        async for number, line in read(options["path"]):
            taken = yield Signal(key=f"{options['path']}/{number}", input={"line": line})

The generator is resumed when the outcome is recorded; ``taken`` tells what it was. One that is to have several signals
in the door at a time is an object.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from moorage.errors import ExitCode, Invalid
from moorage.orchestrator.triggers.base import Door, NotNow, Signal, SourceFailed, Taken

#: Signals one after another. Resumed with what became of each; NotNow is raised at the yield.
Signals = AsyncGenerator[Signal, Taken]
GeneratorFunction = Callable[[Mapping[str, Any]], Signals]


class ApplicationSource(Protocol):
    @property
    def name(self) -> str:
        """As triggers name it: ``source = "lines"``."""

    async def run(self, door: Door, options: Mapping[str, Any]) -> None:
        """As ``moorage.orchestrator.triggers.base.Source.run``. Called once for each trigger that names it, beside each
        other. ``options``: those of the trigger.
        """


class SourceInvalid(Invalid):
    code = "source_invalid"
    exit_code = ExitCode.CONFIG


class ApplicationSources:
    """Those that the application has registered, by name."""

    def __init__(self, sources: Iterable[ApplicationSource | GeneratorFunction] = ()) -> None:
        """Raises SourceInvalid for what is none, and for two of one name."""
        self._sources: dict[str, ApplicationSource] = {}
        for each in sources:
            self.add(each)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._sources))

    def add(self, source: ApplicationSource | GeneratorFunction, name: str = "") -> None:
        """``name``: of a function, in the place of its own. Raises SourceInvalid."""
        found = _Generating(name or source.__name__, source) if inspect.isasyncgenfunction(source) else source
        name, run = getattr(found, "name", ""), getattr(found, "run", None)
        if not isinstance(name, str) or not name or not inspect.iscoroutinefunction(run):
            raise SourceInvalid(
                f"{source!r:.200} is no source: give an async generator function, or an object with a `name` and"
                " `async def run(self, door, options)`."
            )
        if name in self._sources:
            raise SourceInvalid(f"Two sources are named {name!r}; give one of them another name.")
        self._sources[name] = found  # type: ignore[assignment] # as was just looked at

    def source(self, name: str, options: Mapping[str, Any]) -> _Bound:
        """For one trigger. Raises SourceFailed for a name that none has."""
        found = self._sources.get(name)
        if found is None:
            known = ", ".join(self.names) or "none"
            raise SourceFailed(
                f"The application has registered no source {name!r}; it has: {known}. It gives them to the host with"
                " Host(..., sources=[...])."
            )
        return _Bound(found, options)


@dataclass(frozen=True)
class _Bound:
    """Implements ``Source``."""

    source: ApplicationSource
    options: Mapping[str, Any]

    async def run(self, door: Door) -> None:
        await self.source.run(door, self.options)


@dataclass(frozen=True)
class _Generating:
    name: str
    function: GeneratorFunction

    async def run(self, door: Door, options: Mapping[str, Any]) -> None:
        async with aclosing(self.function(options)) as signals:
            try:
                signal = await signals.__anext__()
                while True:
                    signal = await _resumed(signals, signal, door)
            except StopAsyncIteration:
                return


async def _resumed(signals: Signals, signal: Signal, door: Door) -> Signal:
    """The next signal. Raises StopAsyncIteration when there is none."""
    try:
        found = await door.take(signal)
    except NotNow as error:
        return await signals.athrow(error)
    return await signals.asend(found)
