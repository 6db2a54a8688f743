"""What is said of a message that is put aside, and how often that is tried."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from moorage.models.execution import Execution
from moorage.orchestrator.triggers.base import SourceFailed

log = logging.getLogger(__name__)

#: Of the sentence of the error, which stands in a header: characters.
MAX_SENTENCE = 1_000

SUFFIX = "dead-letter"


@dataclass(frozen=True)
class Backoff:
    """Seconds between tries, doubled each time."""

    first: float = 0.5
    most: float = 30.0

    def delays(self) -> Iterator[float]:
        """Without end."""
        delay = self.first
        while True:
            yield delay
            delay = min(delay * 2, self.most)


PATIENT = Backoff()

#: Tries to put one message aside before the source says that it fails: some 15 s.
TRIES = 6


class DeadLetterRefused(Exception):
    """It could not be put aside; a sentence says why."""


def reasons(execution: Execution) -> tuple[tuple[str, str], ...]:
    """By name, what the dead letter tells of why it is one."""
    error = execution.error
    return (
        ("moorage-execution", execution.id),
        ("moorage-error-type", error.type if error is not None else execution.state.value),
        ("moorage-error", error.message[:MAX_SENTENCE] if error is not None else ""),
    )


async def insist(put: Callable[[], Awaitable[None]], what: str, backoff: Backoff) -> None:
    """Puts a message aside, again and again while that is refused.

    Raises SourceFailed in the end: the message is not acknowledged, so it comes again.
    """
    refusal = ""
    for _, delay in zip(range(TRIES), backoff.delays(), strict=False):
        try:
            return await put()
        except DeadLetterRefused as error:
            refusal = str(error)
            log.warning("%s cannot be put aside, and is tried again: %s", what, refusal)
            await asyncio.sleep(delay)
    raise SourceFailed(f"{what} has failed and cannot be put aside, so it is not acknowledged. {refusal}")
