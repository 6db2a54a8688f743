from __future__ import annotations

import logging
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional

import pydantic
import pytest

from moorage_proto import capability
from moorage_sdk import Backend, Context, Plugin, PluginInvalid, Settings
from moorage_sdk.config import Config
from moorage_sdk.kafka import Producer
from moorage_sdk.services import registry
from moorage_sdk.services.base import Ask, Provided

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Wish:
    name: str
    times: int = 1


@dataclass
class MySettings:
    greeting: str
    size: int = 3


class Repository:
    pass


def error_of(kit, function, plugin=None):
    plugin = plugin or Plugin()
    plugin.task(function)
    error = kit.run(function).error
    assert isinstance(error, PluginInvalid), error
    return str(error)


def test_the_input_is_the_record_or_the_parameter_of_that_name(kit):
    plugin = Plugin()

    @plugin.task
    def record(wish: Wish, log: logging.Logger) -> str:
        return wish.name * wish.times

    @plugin.task
    def named(input: typing.List[int]) -> int:  # noqa: A002 - the word that the rule names
        return sum(input)

    @plugin.task
    def optional(wish: Optional[Wish] = None) -> bool:
        return wish is None

    @plugin.task
    def defaults(wish: Defaults) -> int:
        return wish.size

    @plugin.task
    def without() -> int:
        return 1

    assert kit.run(record, {"name": "a", "times": 2}).result == "aa"
    assert kit.run(record, Wish("b")).result == "b"
    assert kit.run(named, [1, 2]).result == 3
    assert kit.run(optional).result is True
    assert kit.run(optional, {"name": "a"}).result is False
    assert kit.run(defaults).result == 5
    assert kit.run(without).result == 1
    assert "input: 'name' is missing" in str(kit.run(record).error)
    assert "input: the task takes none" in str(kit.run(without, 1).error)


class Defaults(pydantic.BaseModel):
    size: int = 5


def test_two_inputs_are_refused(kit):
    def execute(wish: Wish, other: Defaults): ...

    assert "both 'wish' and 'other' could be the input" in error_of(kit, execute)


def test_what_nothing_can_inject_is_named(kit):
    def execute(ctx: Context, repository: Repository): ...

    sentence = error_of(kit, execute)
    assert sentence.startswith("task 'execute': nothing can be injected for parameter 'repository' annotated ")
    assert "Repository" in sentence
    for known in (
        "moorage_sdk.Context",
        "logging.Logger",
        "moorage_sdk.kafka.Producer",
        "moorage_sdk.servicebus.aio.ServiceBusClient, moorage_sdk.servicebus.ServiceBusClient",
        "sqlalchemy.orm.Session",
        "named `input`",
    ):
        assert known in sentence


def test_a_provider_makes_it_injectable(kit):
    plugin = Plugin()

    @plugin.provide
    def repository() -> Repository:
        return Repository()

    @plugin.task
    def execute(ctx: Context, repository: Repository) -> bool:
        return isinstance(repository, Repository)

    assert kit.run(execute).result is True


REFUSED: list[tuple[Any, str]] = []


def refused(sentence):
    def remember(function):
        REFUSED.append((function, sentence))
        return function

    return remember


@refused("parameter 'x' has no annotation, and injection goes by annotations")
def bare(x): ...


@refused("parameter 'args' cannot be injected")
def star(*args: int): ...


@refused("parameter 'x' cannot be injected")
def positional(x: Context, /): ...


@refused("the annotation 'Decimal' of parameter 'x' cannot be resolved: name 'Decimal' is not defined; import what it")
def type_checking_only(x: Decimal): ...


@refused("the annotation 'Missing' of the result cannot be resolved")
def result() -> Missing: ...  # noqa: F821


@refused("its result: complex cannot cross between host and plugin")
def odd_result() -> complex: ...


@refused("the input 'input': complex cannot cross between host and plugin")
def odd_input(input: complex): ...  # noqa: A002 - the word that the rule names


@refused("nothing can be injected for parameter 'error'")
def error_outside_on_error(error: Exception): ...


@pytest.mark.parametrize(("function", "sentence"), REFUSED)
def test_refusals(kit, function, sentence):
    assert sentence in error_of(kit, function)


def test_hooks_and_providers_are_checked_as_well(kit):
    plugin = Plugin()

    @plugin.task
    def execute(): ...

    @plugin.on_unload
    def goodbye(x: Repository): ...

    assert "hook 'on_unload': nothing can be injected for parameter 'x'" in str(kit.run(execute).error)
    plugin.hooks.clear()
    assert kit.run(execute).result is None

    @plugin.provide
    def unused(x: Repository) -> MySettings: ...

    assert "provider 'unused': nothing can be injected for parameter 'x'" in str(kit.run(execute).error)


def test_optional_capabilities_that_are_not_granted_are_none(kit):
    plugin = Plugin()
    seen = []

    @plugin.task
    def execute(
        main: Optional[Producer],
        other: Annotated[Optional[Producer], Backend("analytics")],
        inside: Optional[Annotated[Producer, Backend("analytics")]],
        config: Config | None,
        log: Optional[logging.Logger],
    ) -> None:
        seen.append([value is not None for value in (main, other, inside, config, log)])

    assert kit.run(execute).error is None
    kit.deny("config.read:**", "kafka.produce:plugin-topic")
    kit.grant("kafka.produce:analytics/x")
    assert kit.run(execute).error is None
    assert seen == [[True, False, False, True, True], [False, True, True, False, True]]


def test_one_value_for_each_scope_and_backend(kit):
    plugin = Plugin()

    @plugin.task
    def execute(a: Producer, b: Producer, c: Annotated[Producer, Backend("analytics")]) -> bool:
        c.send("t", "x")
        return a is b and a is not c

    kit.grant("kafka.produce:analytics/t")
    assert kit.run(execute).result is True
    assert kit.kafka.values("t", backend="analytics") == [b"x"]
    assert kit.kafka.values("t") == []


def test_settings_as_a_class(kit):
    plugin = Plugin(settings=MySettings)

    @plugin.task
    def execute(settings: MySettings, again: Annotated[typing.Dict[str, Any], Settings]) -> str:
        assert again["greeting"] == settings.greeting
        return settings.greeting * settings.size

    assert kit.run(execute, config={"greeting": "a"}).result == "aaa"
    assert "the installation's settings do not fit: settings.size: an integer was wanted" in str(
        kit.run(execute, config={"size": "x"}).error
    )


def test_settings_are_checked_though_nobody_asks_for_them(kit):
    plugin = Plugin(settings=MySettings)

    @plugin.task
    def execute() -> None: ...

    assert "settings: 'greeting' is missing" in str(kit.run(execute).error)
    assert kit.run(execute, config={"greeting": "x"}).error is None


def test_config_by_key(kit):
    plugin = Plugin()

    @plugin.task
    async def execute(config: Config) -> typing.List[Any]:
        return [
            config["mail.from"],
            config.get("nothing", 7),
            await config.get_async("mail.from"),
            "mail" in config,
            "nothing" in config,
        ]

    kit.config["mail.from"] = "a@b"
    assert kit.run(execute).result == ["a@b", 7, "a@b", True, False]

    @plugin.task
    def missing(config: Config) -> None:
        config["nothing"]

    assert isinstance(kit.run(missing).error, KeyError)
    kit.deny("config.read:mail.*")
    assert "churn may not use config.read:mail.from: the test has denied" in str(kit.run(execute).error)


class Ledger:
    """An application's own service."""


class LedgerFace:
    provides = (f"{__name__}:Ledger",)
    per_scope = True
    capability_verbs = ("billing.charge",)

    def __init__(self):
        self.log = []
        self.fails = False

    def make(self, ask: Ask) -> Provided:
        self.log.append((ask.backend, ask.scope.execution, ask.host.installation))

        def finish(success):
            self.log.append(("finish", success))
            if self.fails:
                raise RuntimeError("flush failed")

        async def close():
            self.log.append("close")

        return Provided(Ledger(), finish, close)


@pytest.fixture
def ledger(monkeypatch):
    face = LedgerFace()
    face.provides = (f"{Ledger.__module__}:Ledger",)
    monkeypatch.setitem(registry._faces, face.provides[0], face)
    return face


def test_a_face_is_finished_before_the_reply_and_closed_after(kit, ledger):
    plugin = Plugin()

    @plugin.task
    def execute(ledger: Ledger) -> None:
        assert isinstance(ledger, Ledger)

    @plugin.task
    def fail(ledger: Ledger) -> None:
        raise LookupError("no")

    assert kit.run(execute).result is None
    assert ledger.log == [("main", "e-1", "churn"), ("finish", True), "close"]
    ledger.log.clear()
    assert isinstance(kit.run(fail).error, LookupError)
    assert ledger.log == [("main", "e-2", "churn"), ("finish", False), "close"]
    ledger.log.clear()
    ledger.fails = True
    assert str(kit.run(execute).error) == "flush failed"
    assert ledger.log[-1] == "close"


def test_two_faces_for_one_type_are_refused():
    class Other:
        provides = ("logging:Logger",)
        per_scope = False
        capability_verbs = ()

    with pytest.raises(registry.FaceTaken, match="another face already provides logging:Logger"):
        registry.register(Other())
    registry.register(registry.find("logging:Logger"))


def test_capabilities_of_a_newer_grammar_are_left_out():
    from moorage_proto import link_pb2
    from moorage_sdk.host import facts_from_welcome

    facts = facts_from_welcome(link_pb2.Welcome(capabilities=["sql.read:users", "what?is:this thing"]))
    assert facts.capabilities == (capability.parse("sql.read:users"),)
