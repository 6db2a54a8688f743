"""What the host holds for a worker that receives: messages that are locked for it and not settled yet."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from moorage.broker.services.servicebus import failures, messages
from moorage.broker.services.servicebus.delivery import (
    MAX_ANSWER_BYTES,
    SHORTEST_RENEWAL_SECONDS,
    Delivery,
    Holding,
    bounded,
    check_size,
    renewal,
)
from moorage.broker.services.servicebus.line import Line, stop_credit
from moorage_proto import servicebus_pb2
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

Settlement = servicebus_pb2.ServiceBusSettleRequest.Settlement

#: One wait for messages; between two of them other operations of the same receiver have their turn.
SLICE_SECONDS = 0.25

#: After so long without a word from the namespace it is asked for one: a connection may only seem to be there.
SILENCE_SECONDS = 20.0

#: Messages of one receiver that are handed out and not settled.
MAX_UNSETTLED = 256

#: Of all receivers of an installation together: they are memory of the host.
MAX_UNSETTLED_BYTES = 32 * 1024 * 1024

#: Asked for at a time: how large they are is known when they are here.
PULL_MESSAGES = 32
#: When that many came, for further ones.
MORE_SECONDS = 0.1

#: While a scope ends; what takes longer goes on by itself.
RELEASE_SECONDS = 4.0
ABANDON_SECONDS = 30.0


class Receiver:
    """One receiver of a worker. Implements ``scope.Held`` and ``Telling``."""

    def __init__(
        self,
        backend: str,
        line: Line,
        holding: Holding,
        *,
        locks: bool,
        renews: bool,
        is_revoked: Callable[[], bool],
        give_back: Callable[[Line], None],
    ) -> None:
        """``renews``: locks are kept for as long as it is open. ``give_back`` takes the line when nothing is left."""
        self._backend = backend
        self._line = line
        self._holding = holding
        self._locks = locks
        self._renews = renews and locks
        self._is_revoked = is_revoked
        self._give_back = give_back
        self._since = datetime.now(UTC)
        self._count = 0
        #: By number: handed out and not settled. The worker does not know of those that are in ``_waiting``.
        self._deliveries: dict[int, Delivery] = {}
        self._waiting: list[servicebus_pb2.ServiceBusReceivedMessage] = []
        self._receiving = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self._last_peeked = 0
        self._heard_at = time.monotonic()
        self._closed = False
        self._released: asyncio.Task[None] | None = None

    @property
    def unsettled(self) -> int:
        return len(self._deliveries)

    # -- receiving ----------------------------------------------------------------------------------------------

    async def receive(
        self, most: int, wait_seconds: float, deadline: float | None
    ) -> list[servicebus_pb2.ServiceBusReceivedMessage]:
        """Waits for the first message, then takes what is there; none when the time is over. Raises CallError."""
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_seconds
        if deadline is not None:
            end = min(end, deadline - SLICE_SECONDS)
        async with self._receiving:
            while not self._waiting:
                await self._pull(most, min(SLICE_SECONDS, end - loop.time()), deadline)
                if loop.time() >= end:
                    break
                if time.monotonic() - self._heard_at > SILENCE_SECONDS:
                    await self._line.run(lambda link: link.peek_messages(1, sequence_number=1), deadline)
                    self._heard_at = time.monotonic()
            return self._hand_out(most)

    async def receive_deferred(
        self, numbers: Sequence[int], deadline: float | None
    ) -> list[servicebus_pb2.ServiceBusReceivedMessage]:
        """Raises CallError."""
        if self._room(len(numbers)) < len(numbers):
            raise self._full()

        async def take(link: Any) -> None:
            self._add(await link.receive_deferred_messages(list(numbers)))

        async with self._receiving:
            await self._line.run(take, deadline)
            return self._hand_out(len(self._waiting))

    async def peek(
        self, most: int, from_number: int, deadline: float | None
    ) -> list[servicebus_pb2.ServiceBusReceivedMessage]:
        """Raises CallError."""
        start = from_number or self._last_peeked + 1
        found = await self._line.run(lambda link: link.peek_messages(most, sequence_number=start), deadline)
        wire = bounded(messages.readable(found))
        if wire:
            self._last_peeked = wire[-1].sequence_number
        return wire

    async def _pull(self, most: int, seconds: float, deadline: float | None) -> None:
        """Waits for the first, then goes on while there is more."""
        wanted = min(PULL_MESSAGES, self._room(most))
        while await self._line.run(partial(self._take, most=wanted, seconds=max(seconds, 0.01)), deadline) == wanted:
            wanted = min(PULL_MESSAGES, most - len(self._waiting), MAX_UNSETTLED - len(self._deliveries))
            if wanted <= 0 or sum(wire.ByteSize() for wire in self._waiting) > MAX_ANSWER_BYTES or self._is_full:
                return
            seconds = MORE_SECONDS

    async def _take(self, link: Any, most: int, seconds: float) -> int:
        """In the line's own task: what arrives is kept, even when the call that asked for it was cancelled."""
        found = await link.receive_messages(max_message_count=most, max_wait_time=seconds)
        self._add(found)
        if len(found) < most:
            await stop_credit(link)
        return len(found)

    @property
    def _is_full(self) -> bool:
        return len(self._deliveries) >= MAX_UNSETTLED or self._holding.size_bytes > MAX_UNSETTLED_BYTES

    def _room(self, wanted: int) -> int:
        """Raises CallError(QUOTA_EXCEEDED)."""
        if self._is_full:
            raise self._full()
        return min(wanted, MAX_UNSETTLED - len(self._deliveries))

    def _full(self) -> CallError:
        sentence = (
            f"{len(self._deliveries)} messages of {self._line.entity} wait to be settled, and those of all receivers "
            f"have {self._holding.size_bytes:,} bytes. Settle some before receiving more; at most {MAX_UNSETTLED} of "
            f"one receiver wait, and {MAX_UNSETTLED_BYTES:,} bytes of all."
        )
        return CallError(Status.RESOURCE_EXHAUSTED, Reason.QUOTA_EXCEEDED, sentence, retryable=True)

    def _add(self, found: Sequence[Any]) -> None:
        for message in found:
            self._heard_at = time.monotonic()
            self._count += 1
            try:
                wire = messages.received(message, self._count if self._locks else 0)
                check_size(wire)
            except Exception:
                # It stays locked until its lock expires, and ends among the dead letters when it comes again and again.
                log.exception("a message of %s cannot be handed to a plugin", self._line.entity)
                continue
            if self._locks:
                self._deliveries[self._count] = Delivery(self._count, message, wire.ByteSize(), renewal(message))
                self._holding.size_bytes += wire.ByteSize()
            self._waiting.append(wire)
        if self._renews and self._deliveries and self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_locks(), name=f"renew locks of {self._line.entity}")

    def _hand_out(self, most: int) -> list[servicebus_pb2.ServiceBusReceivedMessage]:
        handed = bounded(self._waiting[:most])
        del self._waiting[: len(handed)]
        return handed

    # -- settling -----------------------------------------------------------------------------------------------

    async def settle(
        self, number: int, how: int, deadline: float | None, *, reason: str = "", description: str = ""
    ) -> None:
        """Raises CallError."""
        delivery = self._delivery(number)
        if how == Settlement.COMPLETE:
            await self._settled(delivery, lambda link: link.complete_message(delivery.message), deadline)
        elif how == Settlement.ABANDON:
            await self._settled(delivery, lambda link: link.abandon_message(delivery.message), deadline)
        elif how == Settlement.DEFER:
            await self._settled(delivery, lambda link: link.defer_message(delivery.message), deadline)
        elif how == Settlement.DEAD_LETTER:
            await self._settled(
                delivery,
                lambda link: link.dead_letter_message(delivery.message, reason=reason, error_description=description),
                deadline,
            )
        else:
            sentence = "A message is settled by COMPLETE, ABANDON, DEFER or DEAD_LETTER."
            raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)

    async def renew(self, number: int, deadline: float | None) -> int:
        """Until when the lock lasts now, in milliseconds since 1970 UTC. Raises CallError."""
        delivery = self._delivery(number)
        try:
            until = await self._line.run(lambda link: link.renew_message_lock(delivery.message), deadline)
        except CallError as error:
            self._note_loss(delivery, error)
            raise
        delivery.renew_at = renewal(delivery.message)
        return messages.millis(until)

    async def _settled(self, delivery: Delivery, operation: Callable[[Any], Any], deadline: float | None) -> None:
        async def settle(link: Any) -> None:
            await operation(link)
            # Here, and not where it is waited for: the caller may be gone.
            self._forget(delivery)

        try:
            await self._line.run(settle, deadline)
        except CallError as error:
            self._note_loss(delivery, error)
            raise

    def _delivery(self, number: int) -> Delivery:
        found = self._deliveries.get(number)
        if found is None:
            raise failures.lock_lost(self._line.entity)
        return found

    def _note_loss(self, delivery: Delivery, error: CallError) -> None:
        """Nothing more can be done with a message whose lock was lost."""
        if error.reason == Reason.MESSAGE_LOCK_LOST:
            self._forget(delivery)

    def _forget(self, delivery: Delivery) -> None:
        if self._deliveries.pop(delivery.number, None) is not None:
            self._holding.size_bytes -= delivery.size_bytes

    async def _renew_locks(self) -> None:
        while self._deliveries:
            held = [delivery for delivery in self._deliveries.values() if delivery.is_locked]
            nearest = min((delivery.renew_at for delivery in held), default=time.monotonic() + 1.0)
            await asyncio.sleep(max(SHORTEST_RENEWAL_SECONDS, nearest - time.monotonic()))
            for delivery in held:
                if delivery.renew_at <= time.monotonic() and delivery.number in self._deliveries:
                    await self._renew_one(delivery)
        self._renewing = None

    async def _renew_one(self, delivery: Delivery) -> None:
        try:
            await self._line.run(lambda link: link.renew_message_lock(delivery.message), None)
        except CallError as error:
            if error.reason == Reason.MESSAGE_LOCK_LOST:
                # The plugin hears of it when it settles the message.
                delivery.is_locked = False
            delivery.renew_at = time.monotonic() + 1.0
        else:
            delivery.renew_at = renewal(delivery.message)

    # -- the end ------------------------------------------------------------------------------------------------

    async def finish(self, *, success: bool) -> None:
        """A message's fate is decided by its settlement, not by the scope's end."""

    async def release(self) -> None:
        """Abandons what nobody has settled, so that others get it at once and not when its lock expires."""
        if self._released is None:
            self._released = asyncio.create_task(self._release(), name=f"abandon messages of {self._line.entity}")
        await asyncio.wait((self._released,), timeout=RELEASE_SECONDS)

    def revoked(self) -> bool:
        return self._is_revoked()

    def open_since(self) -> tuple[str, datetime] | None:
        count = len(self._deliveries)
        if not count:
            return None
        noun = "message" if count == 1 else "messages"
        return f"{count} unsettled {noun} of servicebus {self._backend} {self._line.entity}", self._since

    async def _release(self) -> None:
        self._closed = True
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait((self._renewing,))
        # What is being received now is to be abandoned, too.
        await self._line.idle()
        deadline = asyncio.get_running_loop().time() + ABANDON_SECONDS
        try:
            for delivery in tuple(self._deliveries.values()):
                if delivery.is_locked:
                    await self._abandon(delivery, deadline)
        except CallError as error:
            # The namespace does not answer: the locks expire by themselves.
            log.warning("%d messages of %s are not abandoned: %s", len(self._deliveries), self._line.entity, error)
        for delivery in tuple(self._deliveries.values()):
            self._forget(delivery)
        self._waiting.clear()
        self._give_back(self._line)

    async def _abandon(self, delivery: Delivery, deadline: float) -> None:
        try:
            await self._settled(delivery, lambda link: link.abandon_message(delivery.message), deadline)
        except CallError as error:
            if error.reason == Reason.BACKEND_UNAVAILABLE:
                raise
