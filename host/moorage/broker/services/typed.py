"""Serves contracts in typed Python: handlers like any service's, around the application's own methods."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from moorage.broker import refusals
from moorage.broker.methods import ServiceUnusable
from moorage.broker.services.base import Caller, Service
from moorage_proto.annotations import same_type
from moorage_proto.typed import Contract, ContractInvalid, ValueUnfit, contract_of, offer, signature
from moorage_proto.typed.contract import TypedMethod
from moorage_proto.typed.signature import Written

Class = TypeVar("Class", bound=type)

_SERVES = "__moorage_serves__"

#: Larger requests are made objects of in a thread: of few bytes there may be very many.
SMALL_BYTES = 8 * 1024


def implements(contract: type) -> Callable[[Class], Class]:
    """Above the class that serves a contract: for each of its methods one of that name, ``async def``, with the same
    parameters, after ``caller`` where it wants to know who calls. Where the contract streams replies it yields; where
    it streams requests, its parameter is an async iterator.

    ``open`` and ``close``, where it has them, are awaited before the first call and after the last.
    """
    if contract_of(contract) is None:
        raise ContractInvalid(contract.__name__, 'it is no contract; write @service("its name") above it')

    def declare(class_: Class) -> Class:
        setattr(class_, _SERVES, contract)
        return class_

    return declare


def served(given: object) -> Service:
    """What an application hands to its host: an object under ``@service`` or ``@implements``, or a Service as it is.

    Raises ServiceUnusable.
    """
    name = type(given).__name__
    if isinstance(given, type):
        raise ServiceUnusable(given.__name__, f"it is a class; hand the host an object of it: {given.__name__}()")
    try:
        contract = contract_of(getattr(type(given), _SERVES, type(given)))
        if contract is not None:
            return TypedService(contract, given)
    except ContractInvalid as error:
        raise ServiceUnusable(error.place, error.problem) from error
    if not hasattr(given, "contract"):
        problem = "it is no service; write @service or @implements above its class, or give it a `contract`"
        raise ServiceUnusable(name, problem)
    found: Any = given
    service: Service = found
    return service


class TypedService:
    """Has a handler for each method of the contract, under its name."""

    def __init__(self, contract: Contract, implementation: Any) -> None:
        """Raises ContractInvalid when the implementation lacks a method, or takes other parameters."""
        self.typed = contract
        self.contract = contract.service
        self._implementation = implementation
        self._reader = _Reader()
        for name, method in contract.methods.items():
            function = getattr(implementation, name, None)
            place = f"{type(implementation).__name__}.{name}"
            written = _checked(place, method, function)
            vars(self)[name] = _handler(
                method, _Function(place, function, takes_caller=written.takes_caller), self._reader
            )

    async def open(self) -> None:
        await self._live("open")

    async def close(self) -> None:
        try:
            await self._live("close")
        finally:
            self._reader.close()

    async def _live(self, name: str) -> None:
        hook = getattr(self._implementation, name, None)
        if hook is not None:
            await hook()


def pack_contracts(services: Iterable[Service]) -> bytes:
    """Those that are in typed Python. Raises ServiceUnusable where they are too many for the handshake."""
    contracts = [service.typed for service in services if isinstance(service, TypedService)]
    packed = offer.pack(contract.file for contract in contracts)
    if len(packed) > offer.MAX_BYTES:
        names = ", ".join(contract.name for contract in contracts)
        problem = f"together they take {len(packed):,} bytes of the handshake, which has room for {offer.MAX_BYTES:,}"
        raise ServiceUnusable(names, f"{problem}; write the largest ones from a proto of their own")
    return packed


class _Function:
    """The application's own method."""

    def __init__(self, place: str, function: Any, *, takes_caller: bool) -> None:
        self.place = place
        self._function = function
        self._takes_caller = takes_caller

    def __call__(self, caller: Caller, arguments: Mapping[str, Any]) -> Any:
        if self._takes_caller:
            return self._function(caller, **arguments)
        return self._function(**arguments)


class _Reader:
    """Makes arguments of requests: small ones at once, others one after another, of each caller one at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="moorage-typed")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def arguments(self, caller: Caller, method: TypedMethod, request: Any) -> Mapping[str, Any]:
        """Raises CallError."""
        try:
            if request.ByteSize() <= SMALL_BYTES:
                return method.arguments(request)
            turn = self._turns.setdefault(caller.installation, asyncio.Lock())
            async with turn:
                return await asyncio.get_running_loop().run_in_executor(self._thread, method.arguments, request)
        except ValueUnfit as error:
            raise refusals.request_invalid(method.method.path, str(error)) from None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _handler(method: TypedMethod, function: _Function, reader: _Reader) -> Callable[..., Any]:
    if method.written.replies_stream:
        return _streams_replies(method, function, reader)
    if method.written.requests_stream:
        return _streams_requests(method, function, reader)

    async def handle(caller: Caller, request: Any) -> Any:
        return method.reply(await function(caller, await reader.arguments(caller, method, request)))

    return handle


def _streams_replies(method: TypedMethod, function: _Function, reader: _Reader) -> Callable[..., Any]:
    async def handle(caller: Caller, request: Any) -> AsyncIterator[Any]:
        arguments = await reader.arguments(caller, method, request)
        async with contextlib.aclosing(function(caller, arguments)) as items:
            async for item in items:
                yield method.reply(item)

    return handle


def _streams_requests(method: TypedMethod, function: _Function, reader: _Reader) -> Callable[..., Any]:
    name = method.written.names[0]

    async def items(caller: Caller, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield (await reader.arguments(caller, method, request))[name]

    async def handle(caller: Caller, requests: AsyncIterator[Any]) -> Any:
        async with contextlib.aclosing(items(caller, requests)) as read:  # type: ignore[type-var]  # it is a generator
            return method.reply(await function(caller, {name: read}))

    return handle


def _checked(place: str, method: TypedMethod, function: Any) -> Written:
    """Raises ContractInvalid."""
    if not callable(function):
        raise ContractInvalid(place, f"the contract has {method.name!r}, and this class has not; write it")
    plain = getattr(function, "__func__", function)
    if not _fits(method, plain):
        kind = "yield, in async def" if method.written.replies_stream else "be async def"
        problem = f"it has to {kind}: it runs in the host's event loop; what blocks goes to asyncio.to_thread"
        raise ContractInvalid(place, problem)
    written = signature.read(place, plain)
    if written.names != method.written.names:
        raise ContractInvalid(
            place,
            f"it takes {_listed(written.names)}, and the contract {_listed(method.written.names)}; write the same, "
            "after caller where it wants to know who calls",
        )
    for mine, other in zip(written.parameters, method.written.parameters, strict=True):
        if not same_type(mine.annotation, other.annotation):
            raise ContractInvalid(place, f"parameter {mine.name!r} has another type than in the contract")
    if not same_type(written.result, method.written.result):
        raise ContractInvalid(place, "it returns another type than in the contract")
    return written


def _fits(method: TypedMethod, function: Any) -> bool:
    if method.written.replies_stream:
        return inspect.isasyncgenfunction(function)
    return inspect.iscoroutinefunction(function)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"
