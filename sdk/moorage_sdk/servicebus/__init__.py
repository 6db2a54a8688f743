"""``from moorage_sdk.servicebus import ServiceBusClient``; for coroutines, ``moorage_sdk.servicebus.aio``."""

from __future__ import annotations

from moorage_sdk.services.servicebus.client import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from moorage_sdk.services.servicebus.errors import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageSizeExceededError,
)
from moorage_sdk.services.servicebus.message import (
    ServiceBusMessage,
    ServiceBusMessageBatch,
    ServiceBusMessageState,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)

__all__ = [
    "MessageAlreadySettled",
    "MessageLockLostError",
    "MessageSizeExceededError",
    "ServiceBusClient",
    "ServiceBusMessage",
    "ServiceBusMessageBatch",
    "ServiceBusMessageState",
    "ServiceBusReceiveMode",
    "ServiceBusReceivedMessage",
    "ServiceBusReceiver",
    "ServiceBusSender",
    "ServiceBusSubQueue",
]
