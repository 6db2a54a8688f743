"""One Service Bus namespace by way of the client library: the embedded one, or the operator's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from moorage.broker.services.servicebus.delivery import Holding
from moorage.broker.services.servicebus.embedded import EmbeddedNamespace, GrantsOf, ServiceBusSettingsInvalid
from moorage.broker.services.servicebus.library import check, client
from moorage.broker.services.servicebus.line import Line
from moorage.config.services.servicebus import ServiceBusBackend
from moorage.models.installation import InstallationId
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.servicebus_names import Entity

EMBEDDED = "embedded"

#: Links that nobody uses stay open for so long: to open one takes the library half a second.
IDLE_SECONDS = 300.0

#: Of one installation; of senders, those that were not used for longest make room.
MAX_SENDERS = 32
MAX_RECEIVERS = 32

#: How long the library waits for each read of a socket; other operations of the same link wait as long.
READ_SECONDS = 0.05

_Key = tuple[InstallationId, Entity, bool]


class ServiceBusNamespace:
    """Each installation has links of its own: the namespace's operator sees it in their names, and one that floods its
    links holds up nobody else.
    """

    def __init__(self, name: str, settings: ServiceBusBackend, grants_of: GrantsOf | None = None) -> None:
        """Raises ServiceBusSettingsInvalid."""
        self._name = name
        self._settings = settings
        self.embedded = EmbeddedNamespace(name, settings, grants_of) if settings.connection_string == EMBEDDED else None
        self._clients: dict[InstallationId, Any] = {}
        self._senders: dict[tuple[InstallationId, Entity], Line] = {}
        #: Receivers' links that no worker holds at the moment.
        self._spare: dict[_Key, list[Line]] = {}
        #: Of receivers that workers hold, by installation.
        self._held: dict[InstallationId, set[Line]] = {}
        #: Of their messages.
        self._holdings: dict[InstallationId, Holding] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._open = False

    @property
    def connection_string(self) -> str:
        """For the host's own consumers, and people's; known after ``open``. Never told to plugins."""
        return self._settings.connection_string if self.embedded is None else self.embedded.connection_string()

    async def open(self) -> None:
        """Raises ServiceBusClientMissing or ServiceBusSettingsInvalid. That a namespace does not answer is no error."""
        check()
        texts = [*self._settings.connection_strings.values()]
        if self.embedded is None:
            texts.append(self._settings.connection_string)
        else:
            await self.embedded.start()
        for text in texts:
            await asyncio.to_thread(self._check, text)
        self._open = True

    async def close(self) -> None:
        """What is on its way gets a few seconds. May be called twice."""
        self._open = False
        lines = [*self._senders.values(), *(line for lines in self._spare.values() for line in lines)]
        lines += [line for held in self._held.values() for line in held]
        for table in (self._senders, self._spare, self._held, self._clients):
            table.clear()
        await asyncio.gather(*(line.close() for line in lines))
        if self._closing:
            await asyncio.wait(self._closing)
        if self.embedded is not None:
            await self.embedded.stop()

    async def send(
        self, installation: InstallationId, entity: Entity, messages: Sequence[Any], deadline: float | None
    ) -> None:
        """All of the messages or none. Raises CallError."""
        sent = messages[0] if len(messages) == 1 else list(messages)
        await self._sender(installation, entity).run(lambda link: link.send_messages(sent), deadline)

    async def schedule(
        self,
        installation: InstallationId,
        entity: Entity,
        messages: Sequence[Any],
        at: datetime,
        deadline: float | None,
    ) -> list[int]:
        """The numbers by which they can be cancelled. Raises CallError."""
        line = self._sender(installation, entity)
        return await line.run(lambda link: link.schedule_messages(list(messages), at), deadline)

    async def cancel(
        self, installation: InstallationId, entity: Entity, numbers: Sequence[int], deadline: float | None
    ) -> None:
        """Raises CallError."""
        line = self._sender(installation, entity)
        await line.run(lambda link: link.cancel_scheduled_messages(list(numbers)), deadline)

    def holding(self, installation: InstallationId) -> Holding:
        return self._holdings.setdefault(installation, Holding())

    def borrow(
        self, installation: InstallationId, entity: Entity, *, locks: bool
    ) -> tuple[Line, Callable[[Line], None]]:
        """A receiver's link, and how it is given back. Raises CallError."""
        self._tidy()
        held = self._held.setdefault(installation, set())
        if len(held) >= MAX_RECEIVERS:
            sentence = (
                f"{installation} has {len(held)} receivers open in the Service Bus namespace {self._name!r}, and may "
                "not open more. Close some, or receive several messages with each."
            )
            raise CallError(Status.RESOURCE_EXHAUSTED, Reason.QUOTA_EXCEEDED, sentence, retryable=True)
        key = (installation, entity, locks)
        spare = self._spare.get(key)
        line = spare.pop() if spare else Line(self._name, entity, lambda: self._make_receiver(*key))
        held.add(line)
        return line, lambda given: self._take_back(key, given)

    # -- inside -------------------------------------------------------------------------------------------------

    def _take_back(self, key: _Key, line: Line) -> None:
        self._held.get(key[0], set()).discard(line)
        line.last_used = time.monotonic()
        if self._open and line.is_open:
            self._spare.setdefault(key, []).append(line)
        else:
            self._retire(line)

    def _sender(self, installation: InstallationId, entity: Entity) -> Line:
        self._tidy()
        key = (installation, entity)
        line = self._senders.get(key)
        if line is None:
            self._make_room(installation)
            line = self._senders[key] = Line(self._name, entity, lambda: self._make_sender(installation, entity))
        return line

    def _make_room(self, installation: InstallationId) -> None:
        own = [(line.last_used, key) for key, line in self._senders.items() if key[0] == installation]
        if len(own) >= MAX_SENDERS:
            self._retire(self._senders.pop(min(own, key=lambda each: each[0])[1]))

    def _tidy(self) -> None:
        """Closes what was not used for long."""
        long_ago = time.monotonic() - IDLE_SECONDS
        for key, line in tuple(self._senders.items()):
            if line.last_used < long_ago and not line.is_busy:
                self._retire(self._senders.pop(key))
        for spare in self._spare.values():
            for line in [line for line in spare if line.last_used < long_ago]:
                spare.remove(line)
                self._retire(line)

    def _retire(self, line: Line) -> None:
        task = asyncio.create_task(line.close(), name=f"close servicebus {self._name} {line.entity}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _make_sender(self, installation: InstallationId, entity: Entity) -> Any:
        # A topic's sender is no other than a queue's.
        return self._client(installation).get_queue_sender(entity.name, client_identifier=_label(installation))

    def _make_receiver(self, installation: InstallationId, entity: Entity, locks: bool) -> Any:
        library = client()
        modes = library.ServiceBusReceiveMode
        options = {
            "receive_mode": modes.PEEK_LOCK if locks else modes.RECEIVE_AND_DELETE,
            "sub_queue": library.ServiceBusSubQueue.DEAD_LETTER if entity.is_dead_letters else None,
            "client_identifier": _label(installation),
        }
        if entity.subscription:
            return self._client(installation).get_subscription_receiver(entity.name, entity.subscription, **options)
        return self._client(installation).get_queue_receiver(entity.name, **options)

    def _client(self, installation: InstallationId) -> Any:
        found = self._clients.get(installation)
        if found is None:
            found = self._clients[installation] = client().aio.ServiceBusClient.from_connection_string(
                self._connection_string_of(installation),
                # Operations are tried again in one place (``line``), within the caller's time.
                retry_total=0,
                socket_timeout=READ_SECONDS,
                user_agent=_label(installation),
            )
        return found

    def _connection_string_of(self, installation: InstallationId) -> str:
        own = self._settings.connection_strings.get(installation)
        if own is not None:
            return own
        if self.embedded is not None:
            return self.embedded.connection_string(installation)
        return self._settings.connection_string

    def _check(self, text: str) -> None:
        try:
            properties = client().parse_connection_string(text)
        except ValueError as error:
            said = f"Azure's library says of a connection string: {str(error).rstrip('.')}"
            raise ServiceBusSettingsInvalid(self._name, said) from error
        if properties.entity_path:
            raise ServiceBusSettingsInvalid(self._name, "a connection string is for one entity; use the namespace's")


def _label(installation: InstallationId) -> str:
    return f"moorage/{installation}"
