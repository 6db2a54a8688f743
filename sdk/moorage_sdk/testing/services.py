"""Services of the application in tests: ``moorage.services.provide(Billing, FakeBilling())``."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any, AsyncIterator, Callable, Iterator, List, TypeVar

from moorage_proto import link_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.typed import Contract, ContractInvalid, ValueUnfit, contract_of, offer
from moorage_proto.typed.contract import TypedMethod
from moorage_proto.typed.signature import CALLER
from moorage_sdk.testing.base import Fake, FakeCaller

Implementation = TypeVar("Implementation")


class OwnServices:
    """``moorage.services``."""

    def __init__(self, add: Callable[[Fake], None]) -> None:
        self._add = add

    def provide(self, contract: type, implementation: Implementation) -> Implementation:
        """Answers the contract's methods by those of an object, which it returns: a class of the test's own, or a mock.

        Its methods are functions or coroutine functions, and take ``caller`` first where they want to. What it takes
        and returns crosses as it would to the host, behind the contract's access rules. The last one that is provided
        for a contract counts.
        """
        compiled = contract_of(contract)
        if compiled is None:
            raise ContractInvalid(contract.__name__, 'it is no contract; write @service("its name") above it')
        self._add(TypedFake(compiled, implementation))
        return implementation

    def add(self, fake: Fake) -> Fake:
        """The fake of a service with a proto of its own (``moorage_sdk.testing.base``), found as ``moorage.<name>``."""
        self._add(fake)
        return fake


class TypedFake:
    """Implements ``Fake`` around an object that implements a contract."""

    def __init__(self, contract: Contract, implementation: Any) -> None:
        self.name = contract.name
        self.contract = contract.service
        self._typed = contract
        for name, method in contract.methods.items():
            if not callable(getattr(implementation, name, None)):
                place = f"{type(implementation).__name__}.{name}"
                raise ContractInvalid(
                    place, f"{contract.source.__name__} has {name!r}, and this object has not; write it"
                )
            vars(self)[name] = _handler(method, implementation)

    def describe(self, welcome: link_pb2.Welcome) -> None:
        welcome.contracts = offer.pack([*offer.unpack(welcome.contracts).values(), self._typed.file])

    def close(self) -> None:
        """Nothing is held."""


def _handler(method: TypedMethod, implementation: Any) -> Callable[..., Any]:
    def answer(caller: FakeCaller, request: Any) -> Any:
        # Looked up anew: mocks replace methods.
        function = getattr(implementation, method.name)
        given = (caller,) if _takes_caller(function) else ()
        if not method.written.requests_stream:
            return function(*given, **_arguments(method, request))
        name = method.written.names[0]
        items = (_arguments(method, each)[name] for each in request)
        return function(*given, **{name: _asynchronous(items) if inspect.iscoroutinefunction(function) else items})

    def handle(caller: FakeCaller, request: Any) -> Any:
        return method.reply(_result(answer(caller, request)))

    def stream(caller: FakeCaller, request: Any) -> Iterator[Any]:
        for item in _each(_result(answer(caller, request))):
            yield method.reply(item)

    return stream if method.written.replies_stream else handle


def _takes_caller(function: Any) -> bool:
    try:
        first = next(iter(inspect.signature(function).parameters), "")
    except (TypeError, ValueError):
        return False
    return first == CALLER


def _arguments(method: TypedMethod, request: Any) -> Any:
    try:
        return method.arguments(request)
    except ValueUnfit as error:
        sentence = f"{method.method.path} cannot be called like this: {error}."
        raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence) from None


async def _asynchronous(items: Iterator[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def _each(found: Any) -> Iterator[Any]:
    if not hasattr(found, "__aiter__"):
        yield from found
        return

    async def collect() -> List[Any]:
        return [item async for item in found]

    yield from _result(collect())


def _result(found: Any) -> Any:
    """Of a coroutine in a thread of its own: the plugin's loop may be the one that waits here."""
    if not inspect.isawaitable(found):
        return found
    outcome: List[Any] = []

    async def wait() -> Any:
        return await found

    def run() -> None:
        try:
            outcome.extend((asyncio.run(wait()), None))
        except BaseException as error:  # noqa: BLE001 - raised again where the call is made
            outcome.extend((None, error))

    thread = threading.Thread(target=run, name="a fake's coroutine")
    thread.start()
    thread.join()
    result, error = outcome
    if error is not None:
        raise error
    return result
