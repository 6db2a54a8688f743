"""Extension points, for the application: what it declares, what plugins implement of it, and calls of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar, TypeVarTuple, Unpack, overload

from moorage.app.wiring import Wiring
from moorage.errors import Invalid
from moorage.models.extensions import Answers, ExtensionPointView, FirstAnswer, ImplementationView
from moorage.models.installation import InstallationId
from moorage.models.selection import Selector
from moorage_proto.typed import ContractInvalid
from moorage_proto.typed.extension import Point, point_of

Value = TypeVar("Value")
Arguments = TypeVarTuple("Arguments")


class ExtensionPointInvalid(Invalid):
    """The application declares what cannot be an extension point."""

    code = "extension_point_invalid"


def declared(classes: Iterable[type]) -> tuple[Point, ...]:
    """What the application hands to its host. Raises ExtensionPointInvalid."""
    found: dict[str, Point] = {}
    for class_ in classes:
        try:
            point = point_of(class_)
        except ContractInvalid as error:
            raise ExtensionPointInvalid(f"{error}.") from error
        name = getattr(class_, "__name__", repr(class_))
        if point is None:
            raise ExtensionPointInvalid(f"{name} is no extension point; write @extension_point above it.")
        if found.setdefault(point.name, point) is not point:
            raise ExtensionPointInvalid(f"There are two extension points {point.name}; a host has one version of each.")
    return tuple(found.values())


class Extensions:
    """Implements ``moorage.web.operations.ExtensionOperations``."""

    def __init__(self, parts: Wiring) -> None:
        self._parts = parts

    async def list(self) -> tuple[ExtensionPointView, ...]:
        """All that the application declares, with who implements them and how calls of them went."""
        return await self._parts.extension_views.points()

    async def of(self, installation: InstallationId) -> tuple[ImplementationView, ...]:
        """What one installation implements. Raises InstallationUnknown."""
        await self._parts.store.installations.get(installation)
        return await self._parts.extension_views.of(installation)


class ExtensionCalls:
    """The part of ``Host`` that calls plugins.

    ``method`` is one of an extension point that the host was given, ``Discount.discount``, and after it come its
    arguments in their order. All is over after ``timeout`` (default: the setting ``extensions.timeout``): plugins that
    are called meanwhile are cancelled, and their work is rolled back. Nothing is an execution, and nothing is tried
    again. Cancelling the caller cancels what it has called.

    Each raises ExtensionPointUnknown, ExtensionsStopped, StoreFailed; ValueUnfit and TypeError for arguments that the
    contract does not take.
    """

    @property
    def _parts(self) -> Wiring:
        raise NotImplementedError

    @overload
    async def call_all(
        self,
        method: Callable[[Any, Unpack[Arguments]], Awaitable[Value]],
        *arguments: Unpack[Arguments],
        timeout: timedelta | None = None,
        select: Selector | None = None,
        start: bool = True,
    ) -> Answers[Value]: ...

    @overload
    async def call_all(
        self,
        method: Callable[[Any, Unpack[Arguments]], Value],
        *arguments: Unpack[Arguments],
        timeout: timedelta | None = None,
        select: Selector | None = None,
        start: bool = True,
    ) -> Answers[Value]: ...

    async def call_all(
        self,
        method: Callable[[Any, Unpack[Arguments]], Any],
        *arguments: Unpack[Arguments],
        timeout: timedelta | None = None,
        select: Selector | None = None,
        start: bool = True,
    ) -> Answers[Any]:
        """All that implement it, at one time; answers and failures apart, by installation.

        ``select``: those alone that fit; raises SelectorRefused, PredicateUnknown. ``start``: workers are started where
        none run, within the time; False leaves such installations out. Disabled, held and quarantined ones are left out
        in any case.
        """
        among = await self._selected(select)
        return await self._parts.extension_points.call_all(method, arguments, timeout=timeout, among=among, start=start)

    @overload
    async def call_first(
        self,
        method: Callable[[Any, Unpack[Arguments]], Awaitable[Value]],
        *arguments: Unpack[Arguments],
        timeout: timedelta | None = None,
        select: Selector | None = None,
        start: bool = True,
    ) -> FirstAnswer[Value]: ...

    @overload
    async def call_first(
        self,
        method: Callable[[Any, Unpack[Arguments]], Value],
        *arguments: Unpack[Arguments],
        timeout: timedelta | None = None,
        select: Selector | None = None,
        start: bool = True,
    ) -> FirstAnswer[Value]: ...

    async def call_first(
        self,
        method: Callable[[Any, Unpack[Arguments]], Any],
        *arguments: Unpack[Arguments],
        timeout: timedelta | None = None,
        select: Selector | None = None,
        start: bool = True,
    ) -> FirstAnswer[Any]:
        """As ``call_all``, until one answers with something else than None; the others are cancelled."""
        among = await self._selected(select)
        return await self._parts.extension_points.call_first(
            method, arguments, timeout=timeout, among=among, start=start
        )

    @overload
    async def call_one(
        self,
        installation: str,
        method: Callable[[Any, Unpack[Arguments]], Awaitable[Value]],
        *arguments: Unpack[Arguments],
        timeout: timedelta | None = None,
    ) -> Value: ...

    @overload
    async def call_one(
        self,
        installation: str,
        method: Callable[[Any, Unpack[Arguments]], Value],
        *arguments: Unpack[Arguments],
        timeout: timedelta | None = None,
    ) -> Value: ...

    async def call_one(
        self,
        installation: str,
        method: Callable[[Any, Unpack[Arguments]], Any],
        *arguments: Unpack[Arguments],
        timeout: timedelta | None = None,
    ) -> Any:
        """That installation's answer. Raises ExtensionFailed with the failure, InstallationUnknown."""
        return await self._parts.extension_points.call_one(installation, method, arguments, timeout=timeout)

    async def _selected(self, select: Selector | None) -> frozenset[InstallationId] | None:
        if select is None:
            return None
        return frozenset(each.id for each in await self._parts.selection.select(select))
