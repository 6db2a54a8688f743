"""What a plugin implements of an application's extension points: as it is written, called and tested."""

import logging
import threading
from dataclasses import dataclass, field
from typing import Iterator, List, Optional, Protocol

import pytest

from moorage_proto import capability, plugin_pb2
from moorage_proto.errors import CallError, Reason
from moorage_proto.typed import ValueUnfit, extension_point
from moorage_proto.typed.extension import method_of
from moorage_sdk import CapabilityMissing, Context, MoorageError, Plugin, PluginInvalid
from moorage_sdk.testing import Moorage, TestedManifest

from .conftest import Call, answer

RIGHT = "extensions.implement:shop.discount"


@dataclass
class Basket:
    customer: str
    skus: List[str] = field(default_factory=list)


@extension_point("shop.discount", version=2, compatible=(1,))
class Discount(Protocol):
    async def discount(self, basket: Basket, coupon: str = "none") -> int: ...

    def label(self) -> Optional[str]: ...


class Ledger:
    pass


@pytest.fixture
def kit(kit):
    kit.grant(RIGHT)
    return kit


def implemented(plugin):
    """The rest of the contract, and one function to find the plugin by."""

    @plugin.implements(Discount.label)
    def label() -> Optional[str]:
        return None

    return label


def test_a_function_is_given_the_calls_arguments_and_what_it_asks_for(kit):
    plugin = Plugin()
    implemented(plugin)

    @plugin.implements(Discount.discount)
    async def discount(log: logging.Logger, basket: Basket, coupon: str, ctx: Context) -> int:
        log.info("%s with %s: %s %s", basket.customer, coupon, ctx.execution, ctx.trigger)
        return len(basket.skus)

    run = kit.call(discount, Basket("ada", ["tea", "cups"]))
    assert run.result == 2
    assert [line.message for line in run.logs] == ["ada with none:  shop.discount.discount"]
    assert kit.call(discount, Basket("ada"), "X").logs[0].message.startswith("ada with X")


def test_a_class_is_made_anew_for_each_call_where_its_method_runs(kit):
    plugin = Plugin()
    made = []
    ended = []

    @plugin.provide
    def ledger() -> Iterator[Ledger]:
        error = yield Ledger()
        ended.append(error)

    @plugin.implements(Discount)
    class Regulars:
        def __init__(self, log: logging.Logger, ledger: Ledger) -> None:
            self.thread = threading.get_ident()
            self.ledger = ledger
            made.append(self)

        def discount(self, basket: Basket, coupon: str, ledger: Ledger) -> int:
            assert (self.ledger, self.thread) == (ledger, threading.get_ident())
            if not basket.skus:
                raise ValueError("nothing is in it")
            return 5

        async def label(self) -> Optional[str]:
            return "regulars"

    entry(plugin)
    kit = Moorage(TestedManifest("churn", entry_point=f"{__name__}:found", capabilities=(capability.parse(RIGHT),)))
    assert kit.call(Discount.discount, Basket("ada", ["tea"])).result == 5
    assert kit.call(Discount.label).result == "regulars"
    assert len(made) == 2
    assert made[0] is not made[1]
    with pytest.raises(ValueError, match="nothing is in it"):
        _ = kit.call(Discount.discount, Basket("ada")).result
    # Of the scopes that asked: two calls of a class whose constructor has a ledger, and one that failed.
    assert [type(error) for error in ended] == [type(None), type(None), ValueError]
    kit.close()


def entry(plugin):
    global found
    found = plugin


found = Plugin()


def test_a_subclass_of_the_contract_with_and_without_a_constructor(kit):
    plugin = Plugin()

    @plugin.implements(Discount)
    class Plain(Discount):
        async def discount(self, basket: Basket, coupon: str = "none") -> int:
            return 1

        def label(self) -> Optional[str]:
            return "plain"

    entry(plugin)
    kit = Moorage(TestedManifest("churn", entry_point=f"{__name__}:found", capabilities=(capability.parse(RIGHT),)))
    assert kit.call(Discount.label).result == "plain"
    kit.close()


def nothing_more(plugin):
    """Nothing but the label."""


def lacks_a_parameter(plugin):
    @plugin.implements(Discount.discount)
    def discount(basket: Basket) -> int: ...


def other_type(plugin):
    @plugin.implements(Discount.discount)
    def discount(basket: Basket, coupon: int) -> int: ...


def other_result(plugin):
    @plugin.implements(Discount.discount)
    def discount(basket: Basket, coupon: str) -> str: ...


def twice(plugin):
    @plugin.implements(Discount.label)
    def label() -> Optional[str]: ...


def asks_for_more(plugin):
    @plugin.implements(Discount.discount)
    def discount(basket: Basket, coupon: str, more: int) -> int: ...


def no_method(plugin):
    @plugin.implements(Other)
    class Nothing(Other):
        pass


def static(plugin):
    @plugin.implements(Other)
    class Static:
        @staticmethod
        def other() -> None: ...


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (nothing_more, "the plugin implements label of shop.discount, and not discount; write @plugin.implements"),
        (lacks_a_parameter, "it lacks a parameter that the contract has; write coupon: str"),
        (other_type, "it has 'coupon' with another type than the contract; write coupon: str"),
        (other_result, "it returns another type than in the contract; write -> int"),
        (twice, "shop.discount.label is implemented twice"),
        (asks_for_more, "nothing can be injected for parameter 'more'"),
        (no_method, "Nothing implements shop.other, and has no method 'other'; write it"),
        (static, "Static.other: it implements shop.other.other, so it is a plain method"),
    ],
)
def test_what_is_missing_or_differs_is_refused_at_load(kit, declare, sentence):
    plugin = Plugin()
    label = implemented(plugin)
    declare(plugin)
    error = kit.call(label).error
    assert isinstance(error, PluginInvalid)
    assert sentence in str(error)


@extension_point("shop.other", version=1)
class Other(Protocol):
    def other(self) -> None: ...


def test_what_no_decorator_can_mean_is_refused_where_it_is_written():
    plugin = Plugin()
    with pytest.raises(TypeError, match="neither an extension point nor a method of one"):
        plugin.implements(implemented)
    with pytest.raises(TypeError, match="a class implements an extension point"):
        plugin.implements(Discount)(implemented)
    with pytest.raises(TypeError, match="an extension returns its result"):

        @plugin.implements(Discount.label)
        def label():
            yield None


def test_a_class_that_is_no_contract_is_refused_at_load(kit):
    plugin = Plugin()
    label = implemented(plugin)

    @plugin.implements(Basket)
    class Anything:
        pass

    assert isinstance(kit.call(label).error, PluginInvalid)
    assert "Basket is no extension point" in str(kit.call(label).error)


def test_it_takes_the_right_to_be_called():
    plugin = Plugin()
    label = implemented(plugin)

    @plugin.implements(Discount.discount)
    def discount(basket: Basket, coupon: str) -> int:
        return 0

    kit = Moorage(TestedManifest("churn"))
    assert isinstance(kit.call(label).error, CapabilityMissing)
    assert RIGHT in str(kit.call(label).error)
    kit.grant(RIGHT)
    assert kit.call(label).error is None
    kit.close()


def test_arguments_and_answers_of_other_types_are_refused(kit):
    plugin = Plugin()
    implemented(plugin)

    @plugin.implements(Discount.discount)
    def discount(basket: Basket, coupon: str) -> int:
        return "much" if basket.customer == "ada" else 10**30 if basket.customer == "grace" else 1

    with pytest.raises(ValueUnfit, match="basket: an object of type Basket was wanted"):
        kit.call(discount, "ada")
    with pytest.raises(TypeError, match=r"discount\(\) cannot be called like this"):
        kit.call(discount)
    for customer in ("ada", "grace"):
        assert isinstance(kit.call(discount, Basket(customer)).error, ValueUnfit)
    assert kit.call(discount, Basket("alan")).result == 1


def test_an_answer_that_is_too_large_is_refused_before_it_is_sent(kit):
    plugin = Plugin()

    @plugin.implements(Discount.label)
    def label() -> Optional[str]:
        return "x" * 2_000_000

    @plugin.implements(Discount.discount)
    def discount(basket: Basket, coupon: str) -> int:
        return 0

    assert "the answer: it takes 2,000,004 bytes, and at most 1,048,576 are taken" in str(kit.call(label).error)


def test_an_older_contract_is_called_without_what_it_does_not_know(kit):
    @extension_point("shop.discount", version=1)
    class Older(Protocol):
        def discount(self, basket: Basket) -> int: ...

    plugin = Plugin()

    @plugin.implements(Older)
    class Old:
        def discount(self, basket: Basket) -> int:
            return len(basket.customer)

    entry(plugin)
    kit = Moorage(TestedManifest("churn", entry_point=f"{__name__}:found", capabilities=(capability.parse(RIGHT),)))
    assert kit.call(Discount.discount, Basket("ada"), "X").result == 3
    error = kit.call(Discount.label).error
    assert isinstance(error, MoorageError)
    assert "does not implement 'label' of version 1 of 'shop.discount'" in str(error)
    kit.close()


SOURCE = """
    import asyncio
    from typing import Optional, Protocol
    from moorage_sdk import Plugin, extension_point

    @extension_point("shop.discount", version=2)
    class Discount(Protocol):
        async def discount(self, basket: str, coupon: str = "none") -> int: ...

    plugin = Plugin()

    @plugin.implements(Discount.discount)
    async def discount(basket: str, coupon: str) -> int:
        if basket == "hang":
            await asyncio.Event().wait()
        return len(basket + coupon)
"""


async def test_over_the_wire(runtime):
    """With the plugin's own copy of the contract, and a message that was made from another."""

    @extension_point("shop.discount", version=2)
    class Theirs(Protocol):
        async def discount(self, basket: str, coupon: str = "none") -> int: ...

    made = runtime(SOURCE)
    loaded = plugin_pb2.LoadReply.FromString(await answer(made, "load", plugin_pb2.LoadRequest()))
    (told,) = loaded.extensions
    assert (told.point, told.version, list(told.methods)) == ("shop.discount", 2, ["discount"])
    assert told.contract.package == "moorage.own.shop.discount"
    _, method = method_of(Theirs.discount)
    request = plugin_pb2.CallExtensionRequest(point="shop.discount", version=2, method="discount")
    request.arguments = method.request({"basket": "four", "coupon": "X"}).SerializeToString()
    reply = plugin_pb2.CallExtensionReply.FromString(await answer(made, "call_extension", request))
    assert method.result(method.method.reply.FromString(reply.answer)) == 5

    request.arguments = b"\xff\xff"
    with pytest.raises(CallError, match="no message of the contract") as refused:
        await answer(made, "call_extension", request)
    assert refused.value.reason == Reason.REQUEST_INVALID
    request.version = 3
    with pytest.raises(CallError, match="does not implement 'discount' of version 3"):
        await answer(made, "call_extension", request)

    request.version = 2
    request.arguments = method.request({"basket": "hang", "coupon": ""}).SerializeToString()
    call = Call("call_extension", request)
    made.dispatch(call)
    made._loop.call_soon(call.cancel)
    with pytest.raises(CallError) as ended:
        await call.answer
    assert ended.value.reason == Reason.CANCELLED
