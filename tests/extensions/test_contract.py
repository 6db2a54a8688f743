"""Extension points as they are written, and whether what a plugin implements fits the host's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, make_dataclass
from typing import Any, Literal, Protocol

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto.typed import ContractInvalid, extension_point
from moorage_proto.typed.compare import difference
from moorage_proto.typed.extension import Point, method_of, point_of
from moorage_proto.typed.fit import Fit, fitting


@dataclass
class Line:
    sku: str
    count: int = 1


@dataclass
class Basket:
    customer: str
    lines: list[Line] = field(default_factory=list)


@extension_point("shop.discount", version=3, compatible=(2,))
class Discount(Protocol):
    async def discount(self, basket: Basket, coupon: str = "") -> int: ...

    def name(self) -> str | None: ...


def made(class_: type) -> Point:
    point = point_of(class_)
    assert point is not None
    return point


def test_a_class_is_compiled_once_and_its_methods_are_known() -> None:
    point, method = method_of(Discount.discount)
    assert (point.name, point.version, point.compatible) == ("shop.discount", 3, (2,))
    assert point is point_of(Discount)
    assert method.request(method.bound(Basket("ada", [Line("tea")]))).ByteSize() < 40
    assert set(point.methods) == {"discount", "name"}
    assert point_of(Basket) is None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"name": "Shop Discount", "version": 1}, "cannot be the name of an extension point"),
        ({"name": "shop.discount", "version": 0}, "a version is a whole number from 1 on"),
        ({"name": "shop.discount", "version": True}, "a version is a whole number from 1 on"),
        ({"name": "shop.discount", "version": 2, "compatible": (2,)}, "compatible names older versions than 2"),
    ],
)
def test_what_stands_above_the_class_is_checked(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ContractInvalid, match=problem):
        extension_point(**arguments)


def test_what_cannot_cross_is_refused_with_the_method() -> None:
    @extension_point("x", version=1)
    class Streams(Protocol):
        def items(self) -> Iterator[int]: ...

    @extension_point("x", version=1)
    class Named(Protocol):
        def pick(self, *, number: int) -> int: ...

    @extension_point("x", version=1)
    class Inherits(Discount, Protocol):
        def more(self) -> int: ...

    @extension_point("x", version=1)
    class Closes(Protocol):
        def close(self) -> None: ...

    @extension_point("x", version=1)
    class Calls(Protocol):
        def call(self, caller: str) -> None: ...

    @extension_point("x", version=1)
    class Silent(Protocol):
        def pick(self, number: int): ...

    for class_, problem in (
        (Streams, "Streams.items: it streams, and an answer is one value"),
        (Named, "Named.pick: 'number' follows a"),
        (Inherits, "Inherits.discount: it is inherited; write it into Inherits"),
        (Closes, "Closes.close: this name cannot cross"),
        (Calls, "Calls.call: a parameter is named 'caller'"),
        (Silent, "Silent.pick: it does not say what it returns"),
    ):
        with pytest.raises(ContractInvalid, match=problem):
            point_of(class_)


def test_a_function_of_no_extension_point_is_refused() -> None:
    with pytest.raises(ContractInvalid, match="no method of an extension point"):
        method_of(test_a_function_of_no_extension_point_is_refused)


def _of(version: int, body: Any) -> tuple[int, Any]:
    return version, made(extension_point("shop.discount", version=version)(body)).contract.file


class _Same:
    async def discount(self, basket: Basket, coupon: str = "") -> int: ...

    def name(self) -> str | None: ...


class _Old:
    def discount(self, basket: Basket) -> int: ...


class _OtherType:
    async def discount(self, basket: Basket, coupon: int = 0) -> int: ...

    def name(self) -> str | None: ...


@dataclass
class _Region:
    name: str


class _NeedsMore:
    def discount(self, basket: Basket, coupon: str, region: _Region) -> int: ...


class _OtherAnswer:
    def discount(self, basket: Basket) -> str: ...


@pytest.mark.parametrize(
    ("version", "body", "fit", "words"),
    [
        (3, _Same, Fit.CURRENT, ""),
        (3, _Old, Fit.DIFFERENT, "discount: the receiver has no 'coupon'"),
        (3, _OtherType, Fit.DIFFERENT, "'coupon' has another type"),
        (2, _Old, Fit.OLD, "It implements version 2 of shop.discount, and this host has version 3: it is called"),
        (2, _NeedsMore, Fit.DIFFERENT, "'region' is missing, and has no default"),
        (2, _OtherAnswer, Fit.DIFFERENT, "'result' has another type"),
        (1, _Old, Fit.TOO_OLD, "implements version 1 of shop.discount, and this host calls versions 2 and 3"),
        (4, _Same, Fit.TOO_NEW, "implements version 4 of shop.discount, and this host calls versions 2 and 3"),
    ],
)
def test_the_matrix_of_versions(version: int, body: type, fit: Fit, words: str) -> None:
    copied = type("Copy", (), {name: each for name, each in vars(body).items() if callable(each)})
    number, file = _of(version, copied)
    found = fitting(made(Discount), number, file)
    assert found.fit is fit
    assert words in found.sentence
    assert bool(found.sentence) == (fit is not Fit.CURRENT)
    assert found.methods == {Fit.CURRENT: ("discount", "name"), Fit.OLD: ("discount",)}.get(fit, ())


def test_a_strangers_types_may_be_anything() -> None:
    """No exception, whatever is in the file."""
    point = made(Discount)
    empty = descriptor_pb2.FileDescriptorProto()
    assert fitting(point, 3, empty).fit is Fit.DIFFERENT
    lost = descriptor_pb2.FileDescriptorProto()
    lost.service.add(name="Discount").method.add(name="Discount", input_type=".nowhere", output_type=".nowhere")
    assert "its type is not in the contract" in fitting(point, 3, lost).sentence


def test_types_that_refer_to_themselves_are_compared_to_the_end() -> None:
    """However deep a stranger nests what should be one type."""

    @extension_point("shop.forest", version=1)
    class Trees(Protocol):
        def plant(self, tree: Tree) -> int: ...

    file = descriptor_pb2.FileDescriptorProto.FromString(made(Trees).contract.serialized)
    assert difference(made(Trees).contract.file, file) == ""
    tree = next(message for message in file.message_type if message.name == "Tree")
    for number in range(900):
        copy = file.message_type.add()
        copy.CopyFrom(tree)
        copy.name = f"Tree{number}"
        copy.field[0].type_name = f".{file.package}.Tree{(number + 1) % 900}"
    tree.field[0].type_name = f".{file.package}.Tree0"
    assert difference(made(Trees).contract.file, file) == ""
    file.message_type[-1].field[0].name = "twigs"
    assert "twigs" in difference(made(Trees).contract.file, file)


@dataclass
class Tree:
    branches: list[Tree]


_TYPES = st.sampled_from([int, str, bytes, bool, Literal["a"], list[int], Line])


@given(st.lists(_TYPES, max_size=5), st.lists(_TYPES, max_size=3), st.booleans())
def test_what_is_added_with_a_default_keeps_the_older_version_callable(
    kept: list[Any], added: list[Any], changed: bool
) -> None:
    """Of records of any fields: those of the newer version have further ones, all with defaults."""
    fields = [(f"f{number}", type_) for number, type_ in enumerate(kept)]
    more = [(f"g{number}", type_ | None, None) for number, type_ in enumerate(added)]
    before = make_dataclass("Given", fields)
    after = make_dataclass(
        "Given", [*((f"h{name}", type_) for name, type_ in fields), *more] if changed else fields + more
    )

    def taking(record: type, version: int, older: tuple[int, ...] = ()) -> Point:
        def take(self, given): ...

        take.__annotations__ = {"given": record, "return": record}
        return made(extension_point("shop.any", version=version, compatible=older)(type("Any", (), {"take": take})))

    host, plugin = taking(after, 2, (1,)), taking(before, 1)
    found = fitting(host, 1, plugin.contract.file)
    if changed and fields:
        assert found.fit is Fit.DIFFERENT
        return
    assert found.fit is Fit.OLD
    method, old = host.methods["take"], plugin.methods["take"]
    values = {name: _some(type_) for name, type_ in fields}
    data = method.request({"given": after(**values)}).SerializeToString()
    arguments = old.arguments(old.method.request.FromString(data))
    answer = old.reply(before(**vars(arguments["given"]))).SerializeToString()
    assert method.result(method.method.reply.FromString(answer)) == after(**values)


def _some(type_: Any) -> Any:
    if type_ is Line:
        return Line("tea", 2)
    return {int: -7, str: "é", bytes: b"\0", bool: True, Literal["a"]: "a", list[int]: [1, 2]}[type_]
