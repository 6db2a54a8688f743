"""The two kinds of links: on an incoming one the client sends, on an outgoing one it receives."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from typing import Protocol

from moorage.broker.services.servicebus.peer.codec import Malformed
from moorage.broker.services.servicebus.peer.performatives import AmqpError, Flow, Transfer
from moorage.broker.services.servicebus.peer.queue import Queue, Stored

#: Messages that a client may send before it hears of more credit.
INCOMING_CREDIT = 1000

#: Locked messages of one link; who wants more settles some first.
MAX_UNSETTLED = 5000

#: Replies that wait until the client has credit for them.
MAX_WAITING_REPLIES = 64

_UINT_MASK = 2**32 - 1

#: What arrived on an incoming link, and the message format. Raises AmqpError to reject the delivery, Malformed.
Accept = Callable[[bytes, int], None]


class Wire(Protocol):
    """What links ask of their session."""

    @property
    def is_congested(self) -> bool:
        """Whether the client does not read what it was sent already."""

    def send_delivery(self, handle: int, tag: bytes, payload: bytes, *, settled: bool) -> int:
        """Returns the delivery's id."""

    def send_flow(self, flow: Flow) -> None: ...

    def hold(self, delivery_id: int, link: OutgoingLink, stored: Stored) -> None:
        """Until the client has settled it."""


class IncomingLink:
    def __init__(self, wire: Wire, handle: int, accept: Accept, max_message_bytes: int) -> None:
        self._wire = wire
        self._handle = handle
        self._accept = accept
        self._max_message_bytes = max_message_bytes
        #: Deliveries so far, and up to which one the client has credit.
        self._count = 0
        self._promised = 0
        self._partial: list[bytes] = []
        self._partial_bytes = 0
        self._first: Transfer | None = None

    @property
    def waiting_bytes(self) -> int:
        """Of a message that has not arrived as a whole."""
        return self._partial_bytes

    def promise(self) -> None:
        """Tells the client how much it may send."""
        self._promised = self._count + INCOMING_CREDIT
        self._wire.send_flow(
            Flow(handle=self._handle, delivery_count=self._count & _UINT_MASK, link_credit=INCOMING_CREDIT)
        )

    def receive(self, transfer: Transfer, payload: bytes) -> tuple[int, bool] | None:
        """The id of a delivery that is complete, and whether the client has settled it; None: more is to come.

        Raises AmqpError for one that is rejected (``rejected_id`` says which), Malformed.
        """
        if self._first is None:
            if transfer.delivery_id is None:
                raise Malformed("a delivery has no id")
            self._first = transfer
        if transfer.aborted:
            self._restart()
            return None
        self._partial.append(payload)
        self._partial_bytes += len(payload)
        if self._partial_bytes > self._max_message_bytes:
            raise AmqpError("amqp:link:message-size-exceeded", f"messages have at most {self._max_message_bytes} bytes")
        if transfer.more:
            return None
        first, data = self._first, b"".join(self._partial)
        self._restart()
        self._count += 1
        if self._promised - self._count < INCOMING_CREDIT // 2:
            self.promise()
        assert first.delivery_id is not None
        self._accept_checked(data, first)
        return first.delivery_id, first.settled or transfer.settled

    def _accept_checked(self, data: bytes, first: Transfer) -> None:
        try:
            self._accept(data, first.message_format or 0)
        except AmqpError as error:
            assert first.delivery_id is not None
            raise DeliveryRejected(first.delivery_id, error) from error

    def _restart(self) -> None:
        self._partial, self._partial_bytes, self._first = [], 0, None


class DeliveryRejected(Exception):
    """One delivery cannot be taken; the link goes on."""

    def __init__(self, delivery_id: int, error: AmqpError) -> None:
        super().__init__(str(error))
        self.delivery_id = delivery_id
        self.error = error


class OutgoingLink:
    """Implements ``queue.Consumer`` where it has a queue; without one it carries replies."""

    def __init__(self, wire: Wire, handle: int, queue: Queue | None, *, takes_locks: bool) -> None:
        self._wire = wire
        self._handle = handle
        self.queue = queue
        self.takes_locks = takes_locks
        #: Messages that the client has and has not settled.
        self.unsettled = 0
        self._credit = 0
        self._count = 0
        self._replies: deque[bytes] = deque()

    @property
    def can_take(self) -> bool:
        return self._credit > 0 and self.unsettled < MAX_UNSETTLED and not self._wire.is_congested

    def deliver(self, stored: Stored) -> None:
        tag = (stored.lock or uuid.uuid4()).bytes_le
        delivery_id = self._send(tag, stored.encode(), settled=not self.takes_locks)
        if self.takes_locks:
            self.unsettled += 1
            self._wire.hold(delivery_id, self, stored)

    def reply(self, payload: bytes) -> None:
        if len(self._replies) < MAX_WAITING_REPLIES:
            self._replies.append(payload)
        self._send_replies()

    def flow(self, flow: Flow) -> None:
        """The client's word on how much it takes."""
        # A client that has not seen its deliveries counts from what it knows (part 2, section 2.6.7).
        known = self._count if flow.delivery_count is None else flow.delivery_count
        in_flight = (self._count - known) & _UINT_MASK
        self._credit = max(0, (flow.link_credit or 0) - in_flight)
        self.pump()
        if flow.drain:
            self._count += self._credit
            self._credit = 0
        if flow.drain or flow.echo:
            self._wire.send_flow(
                Flow(
                    handle=self._handle,
                    delivery_count=self._count & _UINT_MASK,
                    link_credit=self._credit,
                    drain=flow.drain,
                )
            )

    def pump(self) -> None:
        if self.queue is not None:
            self.queue.pump()
        self._send_replies()

    def _send_replies(self) -> None:
        while self._replies and self._credit > 0:
            self._send(uuid.uuid4().bytes, self._replies.popleft(), settled=True)

    def _send(self, tag: bytes, payload: bytes, *, settled: bool) -> int:
        self._credit -= 1
        self._count += 1
        return self._wire.send_delivery(self._handle, tag, payload, settled=settled)
