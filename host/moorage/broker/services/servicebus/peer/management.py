"""Requests to ``<entity>/$management``: renew, settle, peek, schedule, cancel, receive what was deferred."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from moorage.broker.services.servicebus.peer.codec import Array, Int, Long, Malformed, Symbol, Timestamp
from moorage.broker.services.servicebus.peer.namespace import Namespace
from moorage.broker.services.servicebus.peer.performatives import AmqpError
from moorage.broker.services.servicebus.peer.queue import Settlement
from moorage.broker.services.servicebus.peer.sas import Right

_PREFIX = "com.microsoft:"

#: Of the messages in one reply; who wants more asks again.
MAX_REPLY_BYTES = 1024 * 1024
MAX_ITEMS = 1000
MAX_PEEKED = 250

_STATUS = {
    "com.microsoft:message-lock-lost": 410,
    "com.microsoft:message-not-found": 404,
    "amqp:not-found": 404,
    "amqp:unauthorized-access": 401,
    "amqp:resource-limit-exceeded": 403,
    "amqp:not-implemented": 501,
}
_SETTLEMENTS = {each.value: each for each in Settlement}

#: 1: the receiver settles second, so it locks what it gets.
_SETTLE_SECOND = 1


class Management:
    """Of one entity."""

    def __init__(self, namespace: Namespace, path: str, check: Callable[[Right], None]) -> None:
        """``check`` raises AmqpError when the client has not shown that right to the entity."""
        self._namespace = namespace
        self._path = path
        self._check = check
        self._operations: Mapping[str, tuple[Right, Callable[[Mapping[Any, Any]], dict[str, Any] | None]]] = {
            "renew-lock": (Right.LISTEN, self._renew),
            "update-disposition": (Right.LISTEN, self._settle),
            "peek-message": (Right.LISTEN, self._peek),
            "receive-by-sequence-number": (Right.LISTEN, self._receive_deferred),
            "schedule-message": (Right.SEND, self._schedule),
            "cancel-scheduled-message": (Right.SEND, self._cancel),
        }

    def answer(self, operation: Any, body: Any) -> tuple[dict[str, Any], Any]:
        """Application properties and value of the reply. Raises Malformed."""
        try:
            found = self._operations.get(str(operation).removeprefix(_PREFIX))
            if found is None or not isinstance(body, dict):
                raise AmqpError("amqp:not-implemented", "the operation is not known here")
            right, run = found
            self._check(right)
            value = run(body)
        except AmqpError as error:
            status = Int(_STATUS.get(error.condition, 400))
            condition = Symbol(error.condition)
            return {"statusCode": status, "statusDescription": error.description, "errorCondition": condition}, {}
        if value is None:
            return {"statusCode": Int(204), "statusDescription": "No content"}, {}
        return {"statusCode": Int(200), "statusDescription": "OK"}, value

    def _renew(self, body: Mapping[Any, Any]) -> dict[str, Any]:
        until = self._namespace.queue(self._path).renew(_uuids(body, "lock-tokens"))
        return {"expirations": Array(Timestamp(int(each * 1000)) for each in until)}

    def _settle(self, body: Mapping[Any, Any]) -> dict[str, Any]:
        how = _SETTLEMENTS.get(_text(body, "disposition-status"))
        if how is None:
            raise AmqpError("amqp:invalid-field", "no disposition has this name")
        queue = self._namespace.queue(self._path)
        for lock in _uuids(body, "lock-tokens"):
            queue.settle(lock, how, _text(body, "deadletter-reason"), _text(body, "deadletter-description"))
        return {}

    def _peek(self, body: Mapping[Any, Any]) -> dict[str, Any] | None:
        count = min(_number(body, "message-count"), MAX_PEEKED)
        found = self._namespace.peek(self._path, _number(body, "from-sequence-number"), count)
        messages: list[dict[str, Any]] = []
        left = MAX_REPLY_BYTES
        for encoded in found:
            left -= len(encoded)
            if messages and left < 0:
                break
            messages.append({"message": encoded})
        return {"messages": messages} if messages else None

    def _receive_deferred(self, body: Mapping[Any, Any]) -> dict[str, Any]:
        lock = _number(body, "receiver-settle-mode") == _SETTLE_SECOND
        queue = self._namespace.queue(self._path)
        found = queue.receive_deferred(_numbers(body, "sequence-numbers"), lock=lock)
        messages = [{"message": each.encode(), "lock-token": each.lock} for each in found]
        return {"messages": messages if lock else [{"message": each["message"]} for each in messages]}

    def _schedule(self, body: Mapping[Any, Any]) -> dict[str, Any]:
        items = _items(body, "messages")
        raw = [item.get("message") if isinstance(item, dict) else None for item in items]
        if not all(isinstance(each, bytes) for each in raw):
            raise Malformed("what is to be scheduled holds no messages")
        numbers = self._namespace.schedule(self._path, [each for each in raw if each is not None])
        return {"sequence-numbers": Array(map(Long, numbers))}

    def _cancel(self, body: Mapping[Any, Any]) -> dict[str, Any]:
        self._namespace.cancel(self._path, _numbers(body, "sequence-numbers"))
        return {}


def _items(body: Mapping[Any, Any], name: str) -> list[Any]:
    found = body.get(name)
    if not isinstance(found, list) or not 0 < len(found) <= MAX_ITEMS:
        raise Malformed(f"{name} is no list of 1 to {MAX_ITEMS} items")
    return found


def _uuids(body: Mapping[Any, Any], name: str) -> list[UUID]:
    found = _items(body, name)
    if not all(isinstance(each, UUID) for each in found):
        raise Malformed(f"{name} are no UUIDs")
    return found


def _numbers(body: Mapping[Any, Any], name: str) -> list[int]:
    found = _items(body, name)
    if not all(isinstance(each, int) for each in found):
        raise Malformed(f"{name} are no numbers")
    return found


def _number(body: Mapping[Any, Any], name: str) -> int:
    found = body.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise Malformed(f"{name} is no number")
    return found


def _text(body: Mapping[Any, Any], name: str) -> str:
    found = body.get(name)
    return found if isinstance(found, str) else ""
