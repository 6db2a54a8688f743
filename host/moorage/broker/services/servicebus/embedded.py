"""The embedded Service Bus: our own AMQP peer in the host's process. It forgets at exit.

Each installation has a key of its own there. The peer asks the grants for every link that is opened with it, so that a
name which the gate has let through by mistake is refused a second time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable

from moorage.broker.services.servicebus.peer import Declared, Namespace, Peer, Right
from moorage.broker.services.servicebus.peer.performatives import AmqpError
from moorage.config.services.servicebus import ServiceBusBackend
from moorage.errors import ExitCode, Invalid
from moorage.models.installation import InstallationId
from moorage_proto.capability import Grants, need

#: The present grants of an installation; none where no worker of it is there.
GrantsOf = Callable[[InstallationId], Grants]

_VERBS = {Right.SEND: "servicebus.send", Right.LISTEN: "servicebus.receive"}

#: The key of the host's own consumers, and of people; it has all rights.
OPERATOR = "operator"
#: In front of the others' names. The library encodes anything but letters, digits, '.', '_' and '-' twice.
_INSTALLATION = "installation-"


class ServiceBusSettingsInvalid(Invalid):
    code = "servicebus_settings_invalid"
    exit_code = ExitCode.CONFIG

    def __init__(self, backend: str, problem: str) -> None:
        super().__init__(f"[servicebus.{backend}] cannot be used: {problem}.")


class GrantedKeys:
    """Implements ``peer.Authority``: a key for every installation, with the rights that it was granted."""

    def __init__(self, backend: str, grants_of: GrantsOf | None) -> None:
        """``grants_of`` None: every key may do everything."""
        self._backend = backend
        self._grants_of = grants_of
        self._master = secrets.token_bytes(32)

    def key(self, name: str) -> str | None:
        return base64.b64encode(hmac.digest(self._master, name.encode(), hashlib.sha256)).decode()

    def allows(self, name: str, right: Right, entity: str) -> bool:
        installation = name.removeprefix(_INSTALLATION)
        if name == OPERATOR or self._grants_of is None:
            return True
        needed = need(_VERBS[right], entity, backend=self._backend)
        return self._grants_of(installation).decide(needed).allowed


class EmbeddedNamespace:
    def __init__(self, backend: str, settings: ServiceBusBackend, grants_of: GrantsOf | None) -> None:
        """Raises ServiceBusSettingsInvalid."""
        declared = Declared(tuple(settings.queues), settings.topics)
        try:
            self.namespace = Namespace(declared)
        except AmqpError as error:
            raise ServiceBusSettingsInvalid(backend, f"of its queues and topics, {error}") from error
        self._peer = Peer(self.namespace, GrantedKeys(backend, grants_of))

    async def start(self) -> None:
        await self._peer.open()

    async def stop(self) -> None:
        await self._peer.close()

    def connection_string(self, installation: InstallationId | None = None) -> str:
        """With the key of the installation; of the operator where none is named."""
        return self._peer.connection_string(OPERATOR if installation is None else f"{_INSTALLATION}{installation}")
