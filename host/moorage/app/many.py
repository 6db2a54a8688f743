"""One task, run on all installations that a selector selects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from moorage.app.wiring import Wiring
from moorage.errors import MoorageError
from moorage.models.execution import Execution, ExecutionRequest
from moorage.models.installation import Installation, InstallationId
from moorage.models.selected import NotBegun, SelectedRuns
from moorage.models.selection import Selector


class Many:
    """Used by the host alone."""

    def __init__(self, parts: Wiring) -> None:
        self._parts = parts

    async def submit(self, selector: Selector, request: ExecutionRequest) -> SelectedRuns:
        """What cannot be accepted of one keeps none of the others. Raises SelectorRefused, PredicateUnknown."""
        return await self._each(await self._parts.selection.select(selector), request, self._parts.orchestrator.submit)

    async def run(self, selector: Selector, request: ExecutionRequest) -> SelectedRuns:
        """As ``submit``; returns when each has its outcome."""
        return await self._each(await self._parts.selection.select(selector), request, self._parts.orchestrator.run)

    async def _each(
        self,
        installations: Sequence[Installation],
        request: ExecutionRequest,
        do: Callable[[ExecutionRequest], Awaitable[Execution]],
    ) -> SelectedRuns:
        requests = [_of(each.id, request) for each in installations]
        results = await asyncio.gather(*(_attempt(each, do) for each in requests))
        return SelectedRuns(
            executions=tuple(each for each in results if isinstance(each, Execution)),
            failures=tuple(each for each in results if isinstance(each, NotBegun)),
        )


def _of(name: InstallationId, request: ExecutionRequest) -> ExecutionRequest:
    """A key stands for one run of one installation: asked for again, each finds its own."""
    return replace(request, installation=name, key=f"{request.key}/{name}" if request.key else "")


async def _attempt(
    request: ExecutionRequest, do: Callable[[ExecutionRequest], Awaitable[Execution]]
) -> Execution | NotBegun:
    try:
        return await do(request)
    except MoorageError as error:
        return NotBegun(request.installation, error.code, str(error))
