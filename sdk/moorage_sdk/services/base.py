"""The contract between injection and a service's face. Built-in services and an application's own use exactly this.

A face is a small object that knows which annotations it answers and how to make the value for one of them:

    class KafkaFace:
        provides = ("moorage_sdk.services.kafka:Producer",)
        per_scope = True
        capability_verbs = ("kafka.produce",)

        def make(self, ask: Ask) -> Provided:
            producer = Producer(ask.channel, ask.backend)
            return Provided(producer, finish=producer.finish, close=producer.close)

A built-in one is listed in ``builtin.py``; an application's is registered with ``registry.register``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Awaitable, Callable, Optional, Protocol, Tuple, Union

from moorage_sdk.channel import Channel
from moorage_sdk.host import HostFacts
from moorage_sdk.scope import Scope

#: Called with whether the scope's work succeeded. A plain function may block: it runs in the thread in which the
#: scope's sync code runs. A coroutine function runs on the plugin's event loop.
Finish = Callable[[bool], Union[Awaitable[None], None]]

#: As Finish, without the argument.
Close = Callable[[], Union[Awaitable[None], None]]


@dataclass(frozen=True)
class Ask:
    """What a face is asked to make."""

    #: Which of the face's ``provides`` the parameter is annotated with.
    type_name: str
    #: "main" when the annotation names none.
    backend: str
    channel: Channel
    #: The scope the value is for; the incarnation's when the face is not ``per_scope``.
    scope: Scope
    host: HostFacts


@dataclass(frozen=True)
class Provided:
    """The value to inject, and how its life ends.

    When a scope ends, ``finish`` of all its values is called first, newest first, before the reply leaves: flush
    here; when it raises, the task has failed, and the remaining ones are called with False. Then ``close`` of all of
    them is called, newest first, always: after it the value must refuse to be used. Both are called exactly once.
    Values that are not per scope are finished and closed when the plugin is unloaded.
    """

    value: Any
    finish: Optional[Finish] = None
    close: Optional[Close] = None


class Face(Protocol):
    """One service as plugin code sees it."""

    @property
    def provides(self) -> Tuple[str, ...]:
        """Annotations it answers: "module:qualname" of the class where it is defined.

        Text, so that a library that the plugin may not have (``sqlalchemy.orm.session:Session``) is never imported
        for it; compared exactly, subclasses are other types.
        """

    @property
    def per_scope(self) -> bool:
        """True: one value for each scope, backend and type. False: one for the worker's life."""

    @property
    def capability_verbs(self) -> Tuple[str, ...]:
        """``Optional[...]`` is injected as None when no granted capability has one of these (and the backend).

        Empty: the service needs no right.
        """

    def make(self, ask: Ask) -> Provided:
        """Called on the plugin's event loop: it must not block nor call the host; connect on first use."""


def type_name(annotation: Any) -> str:
    """How a class is written in ``Face.provides``; empty for what is no class."""
    if not isinstance(annotation, type):
        return ""
    return f"{annotation.__module__}:{annotation.__qualname__}"
