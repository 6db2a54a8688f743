"""What an application is told, and asked, of the life of its plugins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from moorage.app.handlers import Handlers, HandlerState
from moorage.app.hooks import PATIENCE, Failing, Hook, Hooks
from moorage.app.wiring import Wiring
from moorage.events.bus import EventBus
from moorage.events.events import Event
from moorage.events.steps import Step

Told = TypeVar("Told", bound=Callable[[Any], Any])
Asked = TypeVar("Asked", bound=Hook)


class LifeOfPlugins:
    """The part of ``Host`` that tells and asks."""

    _hooks: Hooks
    _handlers: Handlers

    @property
    def _parts(self) -> Wiring:
        raise NotImplementedError

    @property
    def events(self) -> EventBus:
        """What happens to installations and executions, announced after it was stored."""
        return self._parts.events

    def on(self, *kinds: type[Event]) -> Callable[[Told], Told]:
        """``@host.on(Loaded, Crashed)``: the function is told of these from now on, or from when the host opens; of
        one at a time, in order. It may be a coroutine function; otherwise it is called in a thread. What it raises is
        logged, and one that is too slow loses the oldest; ``handlers`` counts both.
        """

        def registered(handler: Told) -> Told:
            self._handlers.add(handler, kinds or (Event,))
            return handler

        return registered

    @property
    def handlers(self) -> tuple[HandlerState, ...]:
        """How the functions do that are told of events."""
        return self._handlers.states

    def before(
        self, kind: type[Step], *, failing: Failing | None = None, timeout: timedelta = PATIENCE
    ) -> Callable[[Asked], Asked]:
        """``@host.before(Disabling)``: the function is asked before that is done, and refuses it by raising Refused
        with the reason. It may be a coroutine function; otherwise it is called in a thread. ``failing``: what it comes
        to when it raises anything else, or takes longer than ``timeout``; by default that refuses an Enabling and
        allows a Disabling. Raises TypeError for what cannot be refused.
        """

        def registered(hook: Asked) -> Asked:
            self._hooks.add(kind, hook, failing=failing, timeout=timeout)
            return hook

        return registered
