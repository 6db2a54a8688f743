"""What people are shown of extension points, and what is told when a plugin has loaded that implements some."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from moorage.events.bus import EventBus
from moorage.events.events import Loaded
from moorage.models.contributions import Contributions
from moorage.models.extensions import Extension, ExtensionPointView, ImplementationView, Standing
from moorage.models.installation import InstallationId
from moorage.orchestrator.call_counts import CallCounter
from moorage.orchestrator.implementers import Implementer, Implementers
from moorage.orchestrator.standing import Judge, not_granted, not_loaded
from moorage_proto.typed.extension import Point

log = logging.getLogger(__name__)

#: What a plugin's author and the operator are told of: the other implementations are called, or nobody's concern.
_TOLD = frozenset({
    Standing.OLD,
    Standing.TOO_OLD,
    Standing.TOO_NEW,
    Standing.DIFFERENT,
    Standing.NOT_GRANTED,
})  # fmt: skip


class ExtensionViews:
    def __init__(self, judge: Judge, implementers: Implementers, counter: CallCounter) -> None:
        self._judge = judge
        self._implementers = implementers
        self._counter = counter

    async def points(self) -> tuple[ExtensionPointView, ...]:
        """All that the application declares, by name. Raises StoreFailed."""
        found = await self._implementers.all()
        self._counter.forget(frozenset(each.installation.id for each in found))
        return tuple(self._point(point, found) for _, point in sorted(self._judge.points.items()))

    async def of(self, installation: InstallationId) -> tuple[ImplementationView, ...]:
        """All that one installation implements, also what the application does not know. Raises StoreFailed."""
        return tuple(
            view
            for each in await self._implementers.all()
            if each.installation.id == installation
            for extension in each.extensions or ()
            for view in self._shown(each, [extension])
        )

    def _point(self, point: Point, found: Iterable[Implementer]) -> ExtensionPointView:
        shown = tuple(view for each in found for view in self._of_point(point.name, each))
        return ExtensionPointView(point.name, point.version, point.compatible, tuple(point.methods), shown)

    def _of_point(self, point: str, found: Implementer) -> Iterator[ImplementationView]:
        if found.extensions is None and found.granted(point):
            counts = self._counter.of(point, found.installation.id)
            yield ImplementationView(
                found.installation.id, point, 0, (), Standing.NOT_LOADED, not_loaded(point), counts
            )
        yield from self._shown(found, found.implementing(point))

    def _shown(self, found: Implementer, extensions: Iterable[Extension]) -> Iterator[ImplementationView]:
        name = found.installation.id
        for each in extensions:
            judged = self._judge.of(each)
            standing, sentence = judged.standing, judged.sentence
            if judged.methods and not found.granted(each.point):
                standing, sentence = Standing.NOT_GRANTED, not_granted(name, each.point)
            counts = self._counter.of(each.point, name)
            yield ImplementationView(name, each.point, each.version, each.methods, standing, sentence, counts)


class ExtensionNews:
    """Tells plugins' logs, and the host's, of implementations that need somebody's attention. Until it is cancelled."""

    def __init__(
        self,
        views: ExtensionViews,
        events: EventBus,
        loaded: Callable[[InstallationId], Contributions | None],
        tell: Callable[[InstallationId, str], None],
    ) -> None:
        self._views = views
        self._events = events
        self._loaded = loaded
        self._tell = tell

    async def run(self) -> None:
        async with self._events.subscribe(Loaded) as changes:
            async for change in changes:
                contributions = self._loaded(change.installation)
                if contributions is not None and contributions.extensions:
                    await self._look_at(change.installation)

    async def _look_at(self, name: InstallationId) -> None:
        for view in await self._views.of(name):
            if view.standing is Standing.UNKNOWN:
                log.info("%s: %s", name, view.sentence)
            elif view.standing in _TOLD:
                log.warning("%s: %s", name, view.sentence)
                self._tell(name, view.sentence)
