"""Which of the present installations a selector selects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from moorage.app.functions import called
from moorage.models.installation import Installation, InstallationId
from moorage.models.selection import Selector
from moorage.models.views import InstallationView
from moorage.orchestrator.selection import Candidate, checked, holds
from moorage.store.store import Store
from moorage_proto.capability import Grants

log = logging.getLogger(__name__)

#: Says of an installation whether it is one of those that are meant.
Predicate = Callable[[InstallationView], bool]

#: Longest time in which a predicate says what it has to, of all installations that it is asked about.
PATIENCE = timedelta(seconds=5)


class Selection:
    """Reads the store anew each time."""

    def __init__(
        self,
        store: Store,
        predicates: Mapping[str, Predicate],
        view: Callable[[Installation], Awaitable[InstallationView]],
    ) -> None:
        self._store = store
        self._predicates = {name: _Asked(name, predicate) for name, predicate in predicates.items()}
        self._view = view

    async def select(self, selector: Selector) -> tuple[Installation, ...]:
        """By name, whether or not they may run. Raises SelectorRefused, PredicateUnknown."""
        selector = checked(selector, self._predicates)
        candidates = {
            each.id: (each, await self._candidate(each, selector)) for each in await self._store.installations.list()
        }
        if selector.predicates():
            candidates = await self._asked(selector, candidates)
        return tuple(each for each, candidate in candidates.values() if holds(selector, candidate))

    async def _candidate(self, installation: Installation, selector: Selector) -> Candidate:
        grants = await self._store.grants.effective(installation.id) if selector.capabilities() else Grants()
        manifest = installation.manifest
        return Candidate(installation.id, manifest.version, manifest.tags, grants, {})

    async def _asked(
        self, selector: Selector, candidates: Mapping[InstallationId, tuple[Installation, Candidate]]
    ) -> dict[InstallationId, tuple[Installation, Candidate]]:
        """Of those alone that it makes a difference to."""
        open_ones = [each for each, candidate in candidates.values() if holds(selector, candidate) is None]
        views = [await self._view(each) for each in open_ones]
        names = sorted(selector.predicates())
        answers = await asyncio.gather(*(self._predicates[name].of(views) for name in names))
        found = dict(candidates)
        for each in open_ones:
            said = {name: answer[each.id] for name, answer in zip(names, answers, strict=True) if each.id in answer}
            found[each.id] = (each, found[each.id][1].after(said))
        return found


class _Asked:
    """One predicate. One that hangs is asked no more until it has come back, and says nothing meanwhile."""

    def __init__(self, name: str, predicate: Predicate) -> None:
        self._name = name
        self._predicate = predicate
        self._busy = False

    async def of(self, views: Sequence[InstallationView]) -> Mapping[InstallationId, bool]:
        """Of those that it has said something of."""
        if not views:
            return {}
        if self._busy:
            log.warning("the predicate %s is not asked: it has not answered the time before", self._name)
            return {}
        said: dict[InstallationId, bool] = {}
        try:
            await called(self._ask, views, said, timeout=PATIENCE)
        except TimeoutError:
            seconds = PATIENCE.total_seconds()
            log.warning(
                "the predicate %s has not answered within %g s; what it has not said counts for no", self._name, seconds
            )
        return dict(said)

    def _ask(self, views: Iterable[InstallationView], said: dict[InstallationId, bool]) -> None:
        """In a thread."""
        self._busy = True
        try:
            for view in views:
                self._ask_of(view, said)
        finally:
            self._busy = False

    def _ask_of(self, view: InstallationView, said: dict[InstallationId, bool]) -> None:
        try:
            answer = self._predicate(view)
        except Exception:
            log.exception("the predicate %s failed at %s; it is not selected", self._name, view.installation.id)
            return
        if isinstance(answer, bool):
            said[view.installation.id] = answer
        else:
            log.error(
                "the predicate %s says %.100r of %s, and not True or False", self._name, answer, view.installation.id
            )
