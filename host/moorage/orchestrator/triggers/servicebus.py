"""Queues and subscriptions of Azure Service Bus.

A message is received by peek-lock, no more of them than the door has slots, and its lock is renewed until its execution
has its outcome. Then it is completed; where every attempt failed it is dead-lettered. One that may not run now is held,
with its lock, and tried again: to abandon it would count as a delivery, and after ten of those the namespace puts a
message among the dead letters. Where the lock is lost the execution goes on; the message comes again, and what became
of the execution decides about it without running it again.

Entities that require sessions are not supported: the namespace refuses a receiver that asks for none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from moorage.broker.services.servicebus.library import ServiceBusClientMissing, check, client
from moorage.broker.services.servicebus.line import Line, stop_credit
from moorage.clock import Clock, SystemClock
from moorage.models.execution import Execution
from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers import servicebus_record as records
from moorage.orchestrator.triggers.base import Door, Fate, SourceFailed, Taken
from moorage.orchestrator.triggers.beside import Beside, taken
from moorage.orchestrator.triggers.lock_renewal import kept
from moorage_proto import servicebus_names
from moorage_proto.errors import CallError, Reason
from moorage_proto.servicebus_names import Entity

log = logging.getLogger(__name__)

#: One wait for messages. Renewals and settlements of the same link have their turn after it.
BUSY_SECONDS, IDLE_SECONDS = 0.1, 1.0

#: After so long without a word from the namespace it is asked for one: a connection may only seem to be there.
SILENCE = timedelta(seconds=20)

#: Messages with the same id, or number, are one where they were sent within this time of each other, which is what
#: Service Bus itself takes for a duplicate, by default. Others are others, however long they have waited beside each
#: other: ids such as "daily" come again, and an entity that is made anew counts from 1 again.
DUPLICATE_WITHIN = timedelta(minutes=10)

#: For what is left to do when the source ends: to abandon messages.
CLOSE_SECONDS = 3.0

#: How long the library waits for each read of a socket; other operations of the same link wait as long.
READ_SECONDS = 0.05

#: Of the description of a dead letter; Service Bus takes 4096 characters.
MAX_DESCRIPTION = 1_000


def entity_of(trigger: Trigger) -> Entity:
    """Raises CallError for a name that none can have."""
    subscription = trigger.options.get("subscription")
    return servicebus_names.source(f"{trigger.source}/subscriptions/{subscription}" if subscription else trigger.source)


class ServiceBusSource:
    """One queue or subscription, on a connection of its own."""

    def __init__(
        self, backend: str, entity: Entity, make_receiver: Callable[[], Any], *, clock: Clock | None = None
    ) -> None:
        """``make_receiver`` gives a fresh receiver of the library's that locks what it receives."""
        self._entity = entity
        self._clock = clock or SystemClock()
        self._line = Line(backend, entity, make_receiver)
        #: Received, and nobody's task yet.
        self._arrived: list[Any] = []
        self._heard_at = self._clock.elapsed()
        self._closing: asyncio.Task[None] | None = None

    async def run(self, door: Door) -> None:
        beside = Beside(door)
        try:
            while True:
                await self._pull(await beside.room(), BUSY_SECONDS if not beside.is_idle else IDLE_SECONDS)
                while self._arrived:
                    message = self._arrived.pop(0)
                    beside.start(self._handle(message, door), f"message of {self._entity}")
        except CallError as error:
            raise SourceFailed(error.message) from error
        except ServiceBusClientMissing as error:
            raise SourceFailed(str(error)) from error
        finally:
            await self._close(beside)

    # -- receiving ----------------------------------------------------------------------------------------------

    async def _pull(self, most: int, seconds: float) -> None:
        if self._clock.elapsed() - self._heard_at > SILENCE:
            await self._line.run(lambda link: link.peek_messages(1, sequence_number=1), None)
            self._heard_at = self._clock.elapsed()
        await self._line.run(partial(self._take, most=most, seconds=seconds), None)

    async def _take(self, link: Any, most: int, seconds: float) -> None:
        """In the line's own task: what arrives is kept, even when the source was cancelled meanwhile."""
        found = await link.receive_messages(max_message_count=most, max_wait_time=seconds)
        self._arrived += found
        if found:
            self._heard_at = self._clock.elapsed()
        if len(found) < most:
            await stop_credit(link)

    # -- one message --------------------------------------------------------------------------------------------

    async def _handle(self, message: Any, door: Door) -> None:
        settled = False
        try:
            async with kept(partial(self._renew, message), message.locked_until_utc, self._clock) as lock:
                settle = await self._decided(message, door)
                settled = True
                if not lock.is_lost:
                    await self._settle(settle)
        finally:
            if not settled:
                await self._abandon(message)

    async def _decided(self, message: Any, door: Door) -> Callable[[Any], Awaitable[None]]:
        """What is to be done with it, once its execution has ended."""
        try:
            record = records.record(message, self._entity)
        except Exception as error:  # noqa: BLE001 - the library decodes late, and lets through whatever that raises
            log.warning("a message of %s cannot be read, and is dead-lettered: %s", self._entity, error)
            return _dead_letter(message, "MoorageUnreadable", f"It cannot be read: {error}")
        found = await self._taken(record, message.enqueued_time_utc, door)
        if found.fate is Fate.DONE:
            return lambda link: link.complete_message(message)
        return _dead_letter(message, "MoorageFailed", _description(found.execution))

    async def _taken(self, record: dict[str, Any], sent_at: datetime | None, door: Door) -> Taken:
        signal = records.signal(record)
        found = await taken(door, signal, self._clock)
        if sent_at is not None and _is_another(sent_at, found.execution):
            dated = replace(signal, key=f"{signal.key}@{sent_at.isoformat()}")
            return await taken(door, dated, self._clock)
        return found

    async def _renew(self, message: Any) -> datetime | None:
        until: datetime | None = await self._line.run(lambda link: link.renew_message_lock(message), None)
        return until

    async def _settle(self, operation: Callable[[Any], Awaitable[None]]) -> None:
        """What cannot be settled comes again, and what became of its execution is known then."""
        try:
            await self._line.run(operation, None)
        except CallError as error:
            how = logging.INFO if error.reason == Reason.MESSAGE_LOCK_LOST else logging.WARNING
            log.log(how, "a message of %s is not settled, and comes again: %s", self._entity, error)

    # -- the end ------------------------------------------------------------------------------------------------

    async def _close(self, beside: Beside) -> None:
        # Goes on by itself when it is cancelled, too; it is bounded.
        self._closing = asyncio.create_task(self._closed(beside), name=f"close the source {self._entity}")
        await asyncio.shield(self._closing)

    async def _closed(self, beside: Beside) -> None:
        # What cannot be given back in time has locks that expire by themselves.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await beside.close()
                await self._line.idle()
                for message in self._arrived:
                    await self._abandon(message)
        await self._line.close()

    async def _abandon(self, message: Any) -> None:
        """Others get it at once, and not when its lock expires."""
        with contextlib.suppress(CallError):
            await self._line.run(lambda link: link.abandon_message(message), None, retry=False)


def receiver_of(connection_string: str, entity: Entity, label: str) -> Any:
    """A receiver of the library's; ``label`` is what the namespace's operator sees.

    Raises ServiceBusClientMissing, ValueError for a connection string that is none.
    """
    check()
    library = client()
    made = library.aio.ServiceBusClient.from_connection_string(
        connection_string,
        # Operations are tried again in one place (``Line``), within bounds.
        retry_total=0,
        socket_timeout=READ_SECONDS,
        user_agent=label,
    )
    options = {
        "receive_mode": library.ServiceBusReceiveMode.PEEK_LOCK,
        "sub_queue": library.ServiceBusSubQueue.DEAD_LETTER if entity.is_dead_letters else None,
        "client_identifier": label,
    }
    if entity.subscription:
        return made.get_subscription_receiver(entity.name, entity.subscription, **options)
    return made.get_queue_receiver(entity.name, **options)


def _dead_letter(message: Any, reason: str, description: str) -> Callable[[Any], Awaitable[None]]:
    said = description[:MAX_DESCRIPTION]
    return lambda link: link.dead_letter_message(message, reason=reason, error_description=said)


def _description(execution: Execution) -> str:
    error = execution.error
    said = f": {error.type}: {error.message}" if error is not None else ""
    return f"Execution {execution.id or '(none was made)'} of {execution.installation} {execution.state.value}{said}"


def _is_another(sent_at: datetime, execution: Execution) -> bool:
    """Whether the execution of this name was that of another message, and not of this one, or of it sent twice."""
    before = execution.input.get("enqueued_at") if isinstance(execution.input, dict) else None
    return isinstance(before, datetime) and abs(sent_at - before) > DUPLICATE_WITHIN
