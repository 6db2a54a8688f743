"""Hooks of the application, which are asked before an installation is enabled or disabled, and may refuse it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

from moorage.app.acts import Act
from moorage.app.functions import called, name_of
from moorage.errors import Conflict
from moorage.events.steps import Disabling, Enabling, Step

log = logging.getLogger(__name__)

Wanted = TypeVar("Wanted", bound=Step)
Hook = Callable[[Any], Any]
#: What a hook that fails, or does not answer in time, comes to.
Failing = Literal["refuses", "allows"]

#: Longest time that one hook may take.
PATIENCE = timedelta(seconds=5)

#: A check that is broken must not let work begin, nor keep a person from ending it.
DEFAULT: dict[type[Step], Failing] = {Enabling: "refuses", Disabling: "allows"}

_VERBS: dict[type[Step], str] = {Enabling: "enabled", Disabling: "disabled"}


class Refused(Exception):
    """Raised by a hook: the step is not taken. The reason is a sentence for whoever asked."""


class StepRefused(Conflict):
    """Nothing has changed."""

    code = "step_refused"

    def __init__(self, step: Step, reason: str) -> None:
        super().__init__(f"{step.installation} is not {_VERBS[type(step)]}: {reason}")


@dataclass(frozen=True)
class _Registered:
    function: Hook
    failing: Failing
    timeout: timedelta


class Hooks:
    """Asked one after the other, in the order in which they were registered; the first refusal counts."""

    def __init__(self) -> None:
        self._hooks: dict[type[Step], list[_Registered]] = {Enabling: [], Disabling: []}

    def add(self, kind: type[Step], function: Hook, *, failing: Failing | None, timeout: timedelta) -> None:
        """Raises TypeError for a class that is no step."""
        if kind not in self._hooks:
            raise TypeError(
                f"{kind!r} cannot be refused: a hook is for {' or '.join(each.__name__ for each in DEFAULT)}"
            )
        self._hooks[kind].append(_Registered(function, failing or DEFAULT[kind], timeout))

    async def ask(self, step: Step, act: Act) -> None:
        """Returns when nobody refuses it. Raises StepRefused, which the audit knows of then."""
        for hook in tuple(self._hooks[type(step)]):
            reason = await _refusal(hook, step)
            if reason:
                await act(f"not {_VERBS[type(step)]}", step.installation, step.by, reason)
                raise StepRefused(step, reason)


async def _refusal(hook: _Registered, step: Step) -> str:
    """Empty: it lets it be."""
    try:
        await called(hook.function, step, timeout=hook.timeout)
    except Refused as refused:
        return str(refused) or f"the application's hook {name_of(hook.function)} refuses it, and does not say why."
    except Exception as error:
        late = isinstance(error, TimeoutError)
        words = f"has not answered within {hook.timeout.total_seconds():g} s" if late else f"failed: {error!r:.200}"
        sentence = f"the application's hook {name_of(hook.function)} {words}."
        log.warning("%s: %s", step.installation, sentence, exc_info=None if late else error)
        return f"{sentence} It has to allow this; see the host's log." if hook.failing == "refuses" else ""
    return ""
