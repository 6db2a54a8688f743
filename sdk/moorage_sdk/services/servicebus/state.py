"""What the sync and the async clients have in common: everything but the waiting."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, Iterable, List, Optional, Sequence, Union

from moorage_proto import servicebus_pb2
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.methods import Method, service_methods
from moorage_sdk import scope as scopes
from moorage_sdk.channel import Channel
from moorage_sdk.scope import Scope
from moorage_sdk.services.servicebus.errors import already_settled, closed
from moorage_sdk.services.servicebus.message import (
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
    all_to_wire,
    millis,
    moment,
)

_METHODS = service_methods(servicebus_pb2, "ServiceBusService")
SEND: Method[servicebus_pb2.ServiceBusSendRequest, servicebus_pb2.ServiceBusSendReply] = _METHODS["send"]
SCHEDULE: Method[servicebus_pb2.ServiceBusScheduleRequest, servicebus_pb2.ServiceBusScheduleReply] = _METHODS[
    "schedule"
]
CANCEL: Method[servicebus_pb2.ServiceBusCancelScheduledRequest, servicebus_pb2.ServiceBusCancelScheduledReply] = (
    _METHODS["cancel_scheduled"]
)
OPEN: Method[servicebus_pb2.ServiceBusOpenReceiverRequest, servicebus_pb2.ServiceBusOpenReceiverReply] = _METHODS[
    "open_receiver"
]
RECEIVE: Method[servicebus_pb2.ServiceBusReceiveRequest, servicebus_pb2.ServiceBusMessages] = _METHODS["receive"]
RECEIVE_DEFERRED: Method[servicebus_pb2.ServiceBusReceiveDeferredRequest, servicebus_pb2.ServiceBusMessages] = _METHODS[
    "receive_deferred"
]
PEEK: Method[servicebus_pb2.ServiceBusPeekRequest, servicebus_pb2.ServiceBusMessages] = _METHODS["peek"]
SETTLE: Method[servicebus_pb2.ServiceBusSettleRequest, servicebus_pb2.ServiceBusSettleReply] = _METHODS["settle"]
RENEW: Method[servicebus_pb2.ServiceBusRenewLockRequest, servicebus_pb2.ServiceBusRenewLockReply] = _METHODS[
    "renew_lock"
]
CLOSE: Method[servicebus_pb2.ServiceBusCloseReceiverRequest, servicebus_pb2.ServiceBusCloseReceiverReply] = _METHODS[
    "close_receiver"
]

Settlement = servicebus_pb2.ServiceBusSettleRequest.Settlement

#: As Azure's library has it, for ``receive_messages`` without a ``max_wait_time``.
DEFAULT_WAIT_SECONDS = 60.0

Numbers = Union[int, Iterable[int]]


class ClientState:
    def __init__(self, channel: Channel, backend: str, scope: Optional[Scope]) -> None:
        self.channel = channel
        self.backend = backend or MAIN_BACKEND
        #: Calls are made in it, wherever the client is used.
        self.scope = scope or scopes.current()
        self.closed = False

    def check_open(self, what: str) -> None:
        if self.closed:
            raise closed(what)


class SenderState:
    def __init__(self, client: ClientState, entity: str) -> None:
        self.client = client
        self.entity = entity
        self.closed = False

    def check_open(self) -> None:
        self.client.check_open("sender")
        if self.closed:
            raise closed("sender")

    def send_request(self, messages: Any) -> Optional[servicebus_pb2.ServiceBusSendRequest]:
        """None: there is nothing to send."""
        self.check_open()
        wire = all_to_wire(messages)
        if not wire:
            return None
        return servicebus_pb2.ServiceBusSendRequest(backend=self.client.backend, entity=self.entity, messages=wire)

    def schedule_request(self, messages: Any, at: datetime) -> Optional[servicebus_pb2.ServiceBusScheduleRequest]:
        self.check_open()
        wire = all_to_wire(messages)
        if not wire:
            return None
        return servicebus_pb2.ServiceBusScheduleRequest(
            backend=self.client.backend, entity=self.entity, messages=wire, enqueue_time_millis=millis(at)
        )

    def cancel_request(self, numbers: Numbers) -> Optional[servicebus_pb2.ServiceBusCancelScheduledRequest]:
        self.check_open()
        listed = as_list(numbers)
        if not listed:
            return None
        return servicebus_pb2.ServiceBusCancelScheduledRequest(
            backend=self.client.backend, entity=self.entity, sequence_numbers=listed
        )


class ReceiverState:
    def __init__(
        self, client: ClientState, entity: str, sub_queue: Any, receive_mode: Any, max_wait_time: Optional[float]
    ) -> None:
        if max_wait_time is not None and max_wait_time <= 0:
            raise ValueError("The max_wait_time must be greater than 0.")
        self.client = client
        self.entity = entity + _suffix(sub_queue)
        self.receive_and_delete = _plain(receive_mode) == ServiceBusReceiveMode.RECEIVE_AND_DELETE.value
        self.max_wait_time = max_wait_time
        #: The host's; 0: not opened yet.
        self.handle = 0
        self.closed = False

    def check_open(self) -> None:
        self.client.check_open("receiver")
        if self.closed:
            raise closed("receiver")

    def must_close(self) -> bool:
        """Whether the host holds something for it that it would not end by itself."""
        return bool(self.handle) and not (self.closed or self.client.closed)

    def open_request(self) -> servicebus_pb2.ServiceBusOpenReceiverRequest:
        return servicebus_pb2.ServiceBusOpenReceiverRequest(
            backend=self.client.backend, entity=self.entity, receive_and_delete=self.receive_and_delete
        )

    def receive_request(self, count: Optional[int], wait: Optional[float]) -> servicebus_pb2.ServiceBusReceiveRequest:
        if count is not None and count <= 0:
            raise ValueError("The max_message_count must be greater than 0.")
        if wait is not None and wait <= 0:
            raise ValueError("The max_wait_time must be greater than 0.")
        seconds = wait or self.max_wait_time or DEFAULT_WAIT_SECONDS
        return servicebus_pb2.ServiceBusReceiveRequest(
            receiver=self.handle, max_messages=count or 1, max_wait_millis=max(1, int(seconds * 1000))
        )

    def next_request(self) -> servicebus_pb2.ServiceBusReceiveRequest:
        """Of an iteration: without a ``max_wait_time`` it goes on until a message comes."""
        request = self.receive_request(1, None)
        if self.max_wait_time is None:
            request.max_wait_millis = 0
        return request

    def deferred_request(self, numbers: Sequence[int]) -> servicebus_pb2.ServiceBusReceiveDeferredRequest:
        return servicebus_pb2.ServiceBusReceiveDeferredRequest(receiver=self.handle, sequence_numbers=numbers)

    def peek_request(self, count: int, sequence_number: int) -> servicebus_pb2.ServiceBusPeekRequest:
        if count <= 0:
            raise ValueError("The max_message_count must be greater than 0.")
        return servicebus_pb2.ServiceBusPeekRequest(
            receiver=self.handle, max_messages=count, from_sequence_number=sequence_number
        )

    def settle_request(
        self,
        message: ServiceBusReceivedMessage,
        how: servicebus_pb2.ServiceBusSettleRequest.Settlement,
        reason: Optional[str] = None,
        description: Optional[str] = None,
    ) -> servicebus_pb2.ServiceBusSettleRequest:
        return servicebus_pb2.ServiceBusSettleRequest(
            receiver=self.handle,
            delivery=self.delivery_of(message, "settle"),
            settlement=how,
            reason=reason or "",
            error_description=description or "",
        )

    def renew_request(self, message: ServiceBusReceivedMessage) -> servicebus_pb2.ServiceBusRenewLockRequest:
        delivery = self.delivery_of(message, "renew the lock of")
        return servicebus_pb2.ServiceBusRenewLockRequest(receiver=self.handle, delivery=delivery)

    def delivery_of(self, message: Any, what: str) -> int:
        """Raises TypeError, ValueError, MessageAlreadySettled."""
        self.check_open()
        if not isinstance(message, ServiceBusReceivedMessage):
            raise TypeError("Parameter 'message' must be of type ServiceBusReceivedMessage")
        if not message._delivery:  # noqa: SLF001 - one client
            raise ValueError(f"Cannot {what} a message that was peeked at, or received in RECEIVE_AND_DELETE mode.")
        if message._settled:  # noqa: SLF001 - one client
            raise already_settled(what)
        return message._delivery  # noqa: SLF001 - one client

    def received(self, reply: servicebus_pb2.ServiceBusMessages) -> List[ServiceBusReceivedMessage]:
        return [ServiceBusReceivedMessage(wire) for wire in reply.messages]


def settled(message: ServiceBusReceivedMessage) -> None:
    message._settled = True  # noqa: SLF001 - one client


def renewed(message: ServiceBusReceivedMessage, reply: servicebus_pb2.ServiceBusRenewLockReply) -> datetime:
    message.locked_until_utc = moment(reply.locked_until_millis)
    return message.locked_until_utc


def as_list(numbers: Numbers) -> List[int]:
    return [numbers] if isinstance(numbers, int) else list(numbers)


def subscription(topic_name: str, subscription_name: str) -> str:
    return f"{topic_name}/subscriptions/{subscription_name}"


def check_session(session_id: Any) -> None:
    if session_id is not None:
        raise NotImplementedError("Message sessions cannot be received through Moorage; leave session_id out.")


def _suffix(sub_queue: Any) -> str:
    if sub_queue is None:
        return ""
    if _plain(sub_queue) != ServiceBusSubQueue.DEAD_LETTER.value:
        raise ValueError("The only sub-queue that can be received from is ServiceBusSubQueue.DEAD_LETTER.")
    return "/$deadletterqueue"


def _plain(value: Any) -> Any:
    """Of this package's enums and of Azure's."""
    return value.value if isinstance(value, enum.Enum) else value
