"""The async client: names and signatures are those of ``azure.servicebus.aio``."""

from __future__ import annotations

import asyncio
from datetime import datetime
from types import TracebackType
from typing import Any, AsyncIterator, List, Optional, Type, TypeVar

from google.protobuf.message import Message

from moorage_proto import servicebus_pb2
from moorage_proto.methods import Method
from moorage_sdk.channel import Channel
from moorage_sdk.scope import Scope, entered
from moorage_sdk.services.servicebus.errors import translated
from moorage_sdk.services.servicebus.message import (
    ServiceBusMessageBatch,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
)
from moorage_sdk.services.servicebus.state import (
    CANCEL,
    CLOSE,
    OPEN,
    PEEK,
    RECEIVE,
    RECEIVE_DEFERRED,
    RENEW,
    SCHEDULE,
    SEND,
    SETTLE,
    ClientState,
    Numbers,
    ReceiverState,
    SenderState,
    Settlement,
    as_list,
    check_session,
    renewed,
    settled,
    subscription,
)

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


class ServiceBusClient:
    """Senders and receivers of one namespace, for coroutines."""

    def __init__(self, channel: Channel, backend: str = "", *, scope: Optional[Scope] = None) -> None:
        self._state = ClientState(channel, backend, scope)
        self._receivers: List[ServiceBusReceiver] = []

    def get_queue_sender(self, queue_name: str, **_: Any) -> ServiceBusSender:
        self._state.check_open("client")
        return ServiceBusSender(self._state, queue_name)

    def get_topic_sender(self, topic_name: str, **_: Any) -> ServiceBusSender:
        self._state.check_open("client")
        return ServiceBusSender(self._state, topic_name)

    def get_queue_receiver(
        self,
        queue_name: str,
        *,
        session_id: Any = None,
        sub_queue: Any = None,
        receive_mode: Any = ServiceBusReceiveMode.PEEK_LOCK,
        max_wait_time: Optional[float] = None,
        **_: Any,
    ) -> ServiceBusReceiver:
        """Locks are renewed by the host while the execution runs; ``auto_lock_renewer`` and the like do nothing."""
        check_session(session_id)
        return self._receiver(queue_name, sub_queue, receive_mode, max_wait_time)

    def get_subscription_receiver(
        self,
        topic_name: str,
        subscription_name: str,
        *,
        session_id: Any = None,
        sub_queue: Any = None,
        receive_mode: Any = ServiceBusReceiveMode.PEEK_LOCK,
        max_wait_time: Optional[float] = None,
        **_: Any,
    ) -> ServiceBusReceiver:
        check_session(session_id)
        return self._receiver(subscription(topic_name, subscription_name), sub_queue, receive_mode, max_wait_time)

    async def close(self) -> None:
        """Closes its receivers: what they have not settled is abandoned."""
        for receiver in self._receivers:
            await receiver.close()
        self._state.closed = True

    def seal(self) -> None:
        """The scope has ended, and the host abandons what is not settled. For injection."""
        self._state.closed = True

    async def __aenter__(self) -> ServiceBusClient:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()

    def _receiver(
        self, entity: str, sub_queue: Any, receive_mode: Any, max_wait_time: Optional[float]
    ) -> ServiceBusReceiver:
        self._state.check_open("client")
        receiver = ServiceBusReceiver(ReceiverState(self._state, entity, sub_queue, receive_mode, max_wait_time))
        self._receivers.append(receiver)
        return receiver


class ServiceBusSender:
    """Made by ``get_queue_sender`` and ``get_topic_sender``."""

    def __init__(self, client: ClientState, entity: str) -> None:
        self._state = SenderState(client, entity)

    @property
    def entity_name(self) -> str:
        return self._state.entity

    async def send_messages(self, message: Any, *, timeout: Optional[float] = None) -> None:
        """One message, a list of them or a batch; returns when Service Bus has all of them. ``timeout`` in seconds."""
        request = self._state.send_request(message)
        if request is not None:
            await _call(self._state.client, SEND, request, timeout)

    async def schedule_messages(
        self, messages: Any, schedule_time_utc: datetime, *, timeout: Optional[float] = None
    ) -> List[int]:
        """The sequence numbers by which they can be cancelled."""
        request = self._state.schedule_request(messages, schedule_time_utc)
        if request is None:
            return []
        return list((await _call(self._state.client, SCHEDULE, request, timeout)).sequence_numbers)

    async def cancel_scheduled_messages(self, sequence_numbers: Numbers, *, timeout: Optional[float] = None) -> None:
        request = self._state.cancel_request(sequence_numbers)
        if request is not None:
            await _call(self._state.client, CANCEL, request, timeout)

    async def create_message_batch(self, max_size_in_bytes: Optional[int] = None) -> ServiceBusMessageBatch:
        return ServiceBusMessageBatch(max_size_in_bytes)

    async def close(self) -> None:
        self._state.closed = True

    async def __aenter__(self) -> ServiceBusSender:
        self._state.check_open()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()


class ServiceBusReceiver:
    """Made by ``get_queue_receiver`` and ``get_subscription_receiver``. Iterate over it to receive one by one."""

    def __init__(self, state: ReceiverState) -> None:
        self._state = state
        self._opening = asyncio.Lock()

    @property
    def entity_path(self) -> str:
        return self._state.entity

    async def receive_messages(
        self, max_message_count: Optional[int] = 1, max_wait_time: Optional[float] = None
    ) -> List[ServiceBusReceivedMessage]:
        """Waits up to ``max_wait_time`` seconds for the first; an empty list when none came."""
        request = (await self._open()).receive_request(max_message_count, max_wait_time)
        return self._state.received(await self._call(RECEIVE, request))

    async def receive_deferred_messages(
        self, sequence_numbers: Numbers, *, timeout: Optional[float] = None
    ) -> List[ServiceBusReceivedMessage]:
        numbers = as_list(sequence_numbers)
        if not numbers:
            return []
        request = (await self._open()).deferred_request(numbers)
        return self._state.received(await self._call(RECEIVE_DEFERRED, request, timeout))

    async def peek_messages(
        self, max_message_count: int = 1, *, sequence_number: int = 0, timeout: Optional[float] = None
    ) -> List[ServiceBusReceivedMessage]:
        """Looks at messages without taking them; goes on where the last look ended."""
        request = (await self._open()).peek_request(max_message_count, sequence_number)
        return self._state.received(await self._call(PEEK, request, timeout))

    async def complete_message(self, message: ServiceBusReceivedMessage) -> None:
        """It is done: it is gone from the queue."""
        await self._settle(message, Settlement.COMPLETE)

    async def abandon_message(self, message: ServiceBusReceivedMessage) -> None:
        """It can be received again, at once; its delivery count grows."""
        await self._settle(message, Settlement.ABANDON)

    async def defer_message(self, message: ServiceBusReceivedMessage) -> None:
        """It stays, and is received by its sequence number only."""
        await self._settle(message, Settlement.DEFER)

    async def dead_letter_message(
        self, message: ServiceBusReceivedMessage, reason: Optional[str] = None, error_description: Optional[str] = None
    ) -> None:
        """It moves to the sub-queue of what could not be processed."""
        await self._settle(message, Settlement.DEAD_LETTER, reason, error_description)

    async def renew_message_lock(
        self, message: ServiceBusReceivedMessage, *, timeout: Optional[float] = None
    ) -> datetime:
        """Until when it is locked now. In an execution the host does it by itself."""
        return renewed(message, await self._call(RENEW, self._state.renew_request(message), timeout))

    async def close(self) -> None:
        """What was received and not settled is abandoned."""
        if self._state.must_close():
            await self._call(CLOSE, servicebus_pb2.ServiceBusCloseReceiverRequest(receiver=self._state.handle))
        self._state.closed = True

    async def __aiter__(self) -> AsyncIterator[ServiceBusReceivedMessage]:
        """Ends when no message came within the receiver's ``max_wait_time``; without one, never."""
        while True:
            request = (await self._open()).next_request()
            messages = self._state.received(await self._call(RECEIVE, request))
            if not messages and self._state.max_wait_time is not None:
                return
            for message in messages:
                yield message

    async def __anext__(self) -> ServiceBusReceivedMessage:
        async for message in self:
            return message
        raise StopAsyncIteration

    async def __aenter__(self) -> ServiceBusReceiver:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()

    async def _open(self) -> ReceiverState:
        self._state.check_open()
        async with self._opening:
            if not self._state.handle:
                self._state.handle = (await self._call(OPEN, self._state.open_request())).receiver
        return self._state

    async def _settle(
        self,
        message: ServiceBusReceivedMessage,
        how: servicebus_pb2.ServiceBusSettleRequest.Settlement,
        reason: Optional[str] = None,
        description: Optional[str] = None,
    ) -> None:
        await self._call(SETTLE, self._state.settle_request(message, how, reason, description))
        settled(message)

    async def _call(self, method: Method[Request, Reply], request: Request, timeout: Optional[float] = None) -> Reply:
        return await _call(self._state.client, method, request, timeout)


async def _call(
    client: ClientState, method: Method[Request, Reply], request: Request, timeout: Optional[float] = None
) -> Reply:
    with translated(), entered(client.scope):
        return await client.channel.call_async(method, request, timeout=timeout)
