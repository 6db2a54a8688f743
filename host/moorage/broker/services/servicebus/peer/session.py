"""One AMQP session of a connection: its links, its deliveries, and what the client settles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

from moorage.broker.services.servicebus.peer.codec import Described, Malformed, Symbol
from moorage.broker.services.servicebus.peer.frames import MAX_FRAME_BYTES, address_of
from moorage.broker.services.servicebus.peer.links import DeliveryRejected, IncomingLink, OutgoingLink
from moorage.broker.services.servicebus.peer.management import Management
from moorage.broker.services.servicebus.peer.message import reply_bytes, request_parts
from moorage.broker.services.servicebus.peer.namespace import Namespace
from moorage.broker.services.servicebus.peer.performatives import (
    ACCEPTED,
    MODIFIED,
    REJECTED,
    RELEASED,
    AmqpError,
    Attach,
    Begin,
    Detach,
    Disposition,
    Flow,
    Performative,
    Transfer,
    outcome,
    rejected,
)
from moorage.broker.services.servicebus.peer.queue import Queue, Settlement, Stored
from moorage.broker.services.servicebus.peer.sas import Right, entity_path

CBS = "$cbs"
MANAGEMENT = "/$management"

WINDOW = 5000
MAX_HANDLES = 64

#: Of messages that have not arrived as a whole, on all links of a session.
MAX_PARTIAL_BYTES = 4 * 1024 * 1024

#: The largest that a transfer takes of a frame beside its payload.
_TRANSFER_BYTES = 128

_UINT_MASK = 2**32 - 1
_SETTLED = 1


class Client(Protocol):
    """What a session asks of its connection."""

    @property
    def namespace(self) -> Namespace: ...

    @property
    def is_congested(self) -> bool: ...

    @property
    def frame_bytes(self) -> int:
        """The largest frame that both ends take."""

    def send(self, channel: int, performative: Performative, payload: bytes = b"") -> None: ...

    def require(self, right: Right, entity: str) -> None:
        """Raises AmqpError when the client has shown no token for it."""

    def put_token(self, properties: dict[str, Any], token: Any) -> dict[str, Any]:
        """The application properties of the answer."""


class Session:
    """Implements ``links.Wire``."""

    def __init__(self, client: Client, channel: int, begin: Begin) -> None:
        self._client = client
        self._channel = channel
        self._next_incoming_id = begin.next_outgoing_id
        self._next_outgoing_id = 0
        #: Transfers that the client still takes, as it said.
        self._window = begin.incoming_window
        self._incoming: dict[int, IncomingLink] = {}
        self._outgoing: dict[int, OutgoingLink] = {}
        #: Outgoing links for replies, by the address that requests are sent to.
        self._replies: dict[str, OutgoingLink] = {}
        self._deliveries: dict[int, tuple[OutgoingLink, UUID]] = {}
        client.send(
            channel,
            Begin(
                remote_channel=channel,
                next_outgoing_id=0,
                incoming_window=WINDOW,
                outgoing_window=WINDOW,
                handle_max=MAX_HANDLES - 1,
            ),
        )

    def handle(self, performative: Performative, payload: bytes) -> None:
        """Raises Malformed for what ends the connection."""
        if isinstance(performative, Attach):
            self._attach(performative)
        elif isinstance(performative, Flow):
            self._flow(performative)
        elif isinstance(performative, Transfer):
            self._transfer(performative, payload)
        elif isinstance(performative, Disposition):
            self._disposition(performative)
        elif isinstance(performative, Detach):
            self._detach(performative)
        else:
            raise Malformed(f"{type(performative).__name__} has no place in a session")

    def pump(self) -> None:
        """There is room again for what waits."""
        for link in tuple(self._outgoing.values()):
            link.pump()

    def end(self) -> None:
        """Locks of what was handed out stay until they expire, as Service Bus keeps them."""
        for handle in tuple(self._outgoing):
            self._remove(handle)
        self._incoming.clear()
        self._deliveries.clear()

    # -- what links ask for -------------------------------------------------------------------------------------

    @property
    def is_congested(self) -> bool:
        return self._client.is_congested or self._window <= 0

    def send_delivery(self, handle: int, tag: bytes, payload: bytes, *, settled: bool) -> int:
        delivery_id = self._next_outgoing_id & _UINT_MASK
        room = self._client.frame_bytes - _TRANSFER_BYTES
        for start in range(0, max(len(payload), 1), room):
            transfer = Transfer(handle, delivery_id, tag, 0, settled, more=start + room < len(payload))
            self._client.send(self._channel, transfer, payload[start : start + room])
            self._next_outgoing_id += 1
            self._window -= 1
        return delivery_id

    def send_flow(self, flow: Flow) -> None:
        flow.next_incoming_id = self._next_incoming_id & _UINT_MASK
        flow.incoming_window = WINDOW
        flow.next_outgoing_id = self._next_outgoing_id & _UINT_MASK
        flow.outgoing_window = WINDOW
        self._client.send(self._channel, flow)

    def hold(self, delivery_id: int, link: OutgoingLink, stored: Stored) -> None:
        assert stored.lock is not None
        self._deliveries[delivery_id] = (link, stored.lock)

    # -- links --------------------------------------------------------------------------------------------------

    def _attach(self, attach: Attach) -> None:
        if attach.handle >= MAX_HANDLES or attach.handle in (self._outgoing if attach.is_receiver else self._incoming):
            raise Malformed("a handle is out of range, or attached already")
        answer = Attach(
            attach.name,
            attach.handle,
            not attach.is_receiver,
            attach.snd_settle_mode,
            attach.rcv_settle_mode,
            attach.source,
            attach.target,
            initial_delivery_count=0 if attach.is_receiver else None,
            max_message_size=self._client.namespace.limits.max_message_bytes,
        )
        try:
            begin = self._outgoing_end(attach) if attach.is_receiver else self._incoming_end(attach)
        except AmqpError as error:
            # A link with nothing at its other end, and then why (part 2, section 2.6.3).
            answer.source = answer.target = None
            self._client.send(self._channel, answer)
            self._client.send(self._channel, Detach(attach.handle, True, error.described()))
        else:
            self._client.send(self._channel, answer)
            begin()

    def _outgoing_end(self, attach: Attach) -> Callable[[], None]:
        """Makes the link; what is answered begins it. Raises AmqpError."""
        address = entity_path(address_of(attach.source))
        queue: Queue | None = None
        if address != CBS:
            entity = address.removesuffix(MANAGEMENT)
            if entity == address:
                self._client.require(Right.LISTEN, entity)
                queue = self._client.namespace.queue(entity)
        link = OutgoingLink(self, attach.handle, queue, takes_locks=attach.snd_settle_mode != _SETTLED)
        self._outgoing[attach.handle] = link
        if queue is None:
            self._replies[address] = link
        else:
            queue.consumers.append(link)
        return link.pump

    def _incoming_end(self, attach: Attach) -> Callable[[], None]:
        """As ``_outgoing_end``."""
        address = entity_path(address_of(attach.target))
        accept: Callable[[bytes, int], None]
        if address == CBS:
            accept = self._answer_token
        elif address.endswith(MANAGEMENT):
            accept = self._management(address)
        else:
            self._client.require(Right.SEND, address)
            self._client.namespace.check_target(address)
            accept = self._publisher(address)
        limit = self._client.namespace.limits.max_message_bytes
        link = self._incoming[attach.handle] = IncomingLink(self, attach.handle, accept, limit)
        return link.promise

    def _publisher(self, address: str) -> Callable[[bytes, int], None]:
        return lambda data, message_format: self._client.namespace.publish(address, data, message_format)

    def _management(self, address: str) -> Callable[[bytes, int], None]:
        entity = address.removesuffix(MANAGEMENT)
        management = Management(self._client.namespace, entity, lambda right: self._client.require(right, entity))

        def answer(data: bytes, _: int) -> None:
            message_id, properties, body = request_parts(data)
            self._reply(address, message_id, *management.answer(properties.get("operation"), body))

        return answer

    def _answer_token(self, data: bytes, _: int) -> None:
        message_id, properties, token = request_parts(data)
        self._reply(CBS, message_id, self._client.put_token(properties, token), None)

    def _reply(self, address: str, message_id: Any, properties: dict[str, Any], value: Any) -> None:
        link = self._replies.get(address)
        if link is not None:
            link.reply(reply_bytes(message_id, properties, value))

    def _detach(self, detach: Detach) -> None:
        self._remove(detach.handle)
        self._client.send(self._channel, Detach(detach.handle, closed=True))

    def _remove(self, handle: int) -> None:
        """Both directions number their handles alike: a client's handle names its own end."""
        self._incoming.pop(handle, None)
        link = self._outgoing.pop(handle, None)
        if link is None:
            return
        if link.queue is not None:
            link.queue.consumers.remove(link)
        self._replies = {address: other for address, other in self._replies.items() if other is not link}
        self._deliveries = {key: held for key, held in self._deliveries.items() if held[0] is not link}

    # -- transfers ----------------------------------------------------------------------------------------------

    def _flow(self, flow: Flow) -> None:
        known = self._next_outgoing_id if flow.next_incoming_id is None else flow.next_incoming_id
        in_flight = (self._next_outgoing_id - known) & _UINT_MASK
        self._window = max(0, flow.incoming_window - in_flight)
        if flow.handle is None:
            self.pump()
            if flow.echo:
                self.send_flow(Flow())
            return
        link = self._outgoing.get(flow.handle)
        if link is not None:
            link.flow(flow)

    def _transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._next_incoming_id += 1
        link = self._incoming.get(transfer.handle)
        if link is None:
            # Sent before the client knew that it was detached; its error is on its way.
            return
        if sum(each.waiting_bytes for each in self._incoming.values()) > MAX_PARTIAL_BYTES:
            raise Malformed("too many messages are begun and not ended")
        try:
            done = link.receive(transfer, payload)
        except DeliveryRejected as refused:
            self._settle(refused.delivery_id, rejected(refused.error))
        except AmqpError as error:
            del self._incoming[transfer.handle]
            self._client.send(self._channel, Detach(transfer.handle, True, error.described()))
        else:
            if done is not None and not done[1]:
                self._settle(done[0], outcome(ACCEPTED))

    def _settle(self, delivery_id: int, state: Described) -> None:
        self._client.send(self._channel, Disposition(True, delivery_id, delivery_id, settled=True, state=state))

    def _disposition(self, disposition: Disposition) -> None:
        """What a client says of messages that it was handed; each that it has not settled itself is answered."""
        if not disposition.is_receiver or disposition.state is None:
            return
        last = disposition.first if disposition.last is None else disposition.last
        if last - disposition.first > len(self._deliveries):
            named = [number for number in self._deliveries if disposition.first <= number <= last]
        else:
            named = [number for number in range(disposition.first, last + 1) if number in self._deliveries]
        for delivery_id in named:
            answer = self._settle_delivery(delivery_id, disposition.state)
            if not disposition.settled:
                self._client.send(
                    self._channel, Disposition(False, delivery_id, delivery_id, settled=True, state=answer)
                )

    def _settle_delivery(self, delivery_id: int, state: Any) -> Described:
        link, lock = self._deliveries.pop(delivery_id)
        link.unsettled -= 1
        how, reason, description = _settlement(state)
        assert link.queue is not None
        try:
            link.queue.settle(lock, how, reason, description)
        except AmqpError as error:
            return rejected(error)
        # A dead-letter is answered with a rejection that names no error; the others as they came.
        return outcome(REJECTED) if how is Settlement.DEAD_LETTERED else state


def _settlement(state: Any) -> tuple[Settlement, str, str]:
    """How, and for a dead-letter why. Raises Malformed."""
    if not isinstance(state, Described) or not isinstance(state.value, list):
        raise Malformed("a delivery is settled with no outcome")
    fields = [*state.value, None, None, None]
    if state.descriptor == ACCEPTED:
        return Settlement.COMPLETED, "", ""
    if state.descriptor == RELEASED:
        return Settlement.RELEASED, "", ""
    if state.descriptor == MODIFIED:
        if fields[1]:
            return Settlement.DEFERRED, "", ""
        return (Settlement.ABANDONED if fields[0] else Settlement.RELEASED), "", ""
    if state.descriptor == REJECTED:
        return Settlement.DEAD_LETTERED, *_reasons(fields[0])
    raise Malformed("a delivery is settled with an outcome that is not known here")


def _reasons(error: Any) -> tuple[str, str]:
    fields = error.value if isinstance(error, Described) and isinstance(error.value, list) else []
    info = fields[2] if len(fields) > 2 and isinstance(fields[2], dict) else {}
    reason, description = (info.get(Symbol(name)) for name in ("DeadLetterReason", "DeadLetterErrorDescription"))
    return (reason if isinstance(reason, str) else ""), (description if isinstance(description, str) else "")


assert MAX_FRAME_BYTES > 4 * _TRANSFER_BYTES
