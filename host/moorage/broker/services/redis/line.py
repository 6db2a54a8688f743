"""One connection to a Redis server, by way of redis.asyncio's own connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from moorage.broker.services.redis import refusals
from moorage.broker.services.redis.library import client
from moorage.broker.services.redis.wire import MAX_REPLY_BYTES, ReplyTooLarge, ServerError, reply_bytes

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0

Command = Sequence[bytes]


class LoginRefused(Exception):
    """The server does not know the user, or has another password for it."""


class LineSilent(Exception):
    """The server has not answered in time."""


class Line:
    """Its commands run one after another; what goes wrong between closes it."""

    def __init__(self, server: str, connection: Any) -> None:
        self._server = server
        self._connection = connection
        #: As the server's operators see it.
        self.label = ""
        self.is_open = False

    async def open(self, login: tuple[str, str] | None = None) -> None:
        """With a ``login`` as that user, once the database is chosen: users may not choose another.

        Raises CallError(BACKEND_UNAVAILABLE) or LoginRefused.
        """
        await self._connect()
        self.is_open = True
        if login is not None:
            try:
                (answer,) = await self.run([(b"AUTH", *(part.encode() for part in login))], "", CONNECT_SECONDS)
            except LineSilent as error:
                raise refusals.unavailable(self._server, "does not answer") from error
            if isinstance(answer, ServerError):
                await self.close()
                raise LoginRefused(answer.line)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connection.connect()
        except client().AuthenticationError as error:
            await self.close()
            raise LoginRefused(str(error)) from error
        except Exception as error:
            # Whatever: what answers there need not be Redis.
            await self.close()
            log.warning("Redis server %s: no connection: %s", self._server, error)
            raise refusals.unavailable(self._server, "cannot be reached") from error
        except BaseException:
            await self.close()
            raise

    async def is_usable(self) -> bool:
        """Whether it is open, and nothing has arrived that nobody asked for, as far as can be told without asking."""
        connection = self._connection
        if not self.is_open or not connection.is_connected:
            return False
        reader = connection._reader  # noqa: SLF001 - nothing public tells of a reset that has arrived
        if hasattr(reader, "exception") and reader.exception() is not None:
            return False
        try:
            return not await connection.can_read()
        except (OSError, client().RedisError):
            return False

    async def run(self, commands: Sequence[Command], label: str, seconds: float | None) -> list[Any]:
        """Their replies, with ServerErrors among them. ``seconds``: how long the server may take for all of them.

        Raises CallError, or LineSilent. Whatever is raised, the line is closed then.
        """
        sent = [*self._naming(label), *commands]
        replies: list[Any] = await self._guarded(self._exchange(sent), seconds)
        self.label = label
        return replies[len(sent) - len(commands) :]

    async def send(self, commands: Sequence[Command]) -> None:
        """For a line whose replies ``receive`` reads."""
        await self._guarded(self._connection.send_packed_command(self._packed(commands), check_health=False), None)

    async def receive(self) -> Any:
        """The next thing that arrives, however long it takes."""
        return await self._guarded(self._read(), None)

    async def close(self) -> None:
        """May be called twice."""
        self.is_open = False
        try:
            await self._connection.disconnect(nowait=True)
        except Exception as error:  # noqa: BLE001 - it is given up anyhow
            log.debug("Redis server %s: %s", self._server, error)

    def _naming(self, label: str) -> list[Command]:
        return [] if not label or self.label == label else [(b"CLIENT", b"SETNAME", label.encode())]

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        await self._connection.send_packed_command(self._packed(commands), check_health=False)
        replies: list[Any] = []
        left = MAX_REPLY_BYTES
        for _ in commands:
            replies.append(await self._read())
            # All of them together: each may be as large as the parser lets it.
            left -= reply_bytes(replies[-1])
            if left < 0:
                raise ReplyTooLarge
        return replies

    async def _read(self) -> Any:
        return await self._connection.read_response(disable_decoding=True)

    def _packed(self, commands: Sequence[Command]) -> list[bytes]:
        packed: list[bytes] = self._connection.pack_commands(commands)
        return packed

    async def _guarded(self, work: Any, seconds: float | None) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError as error:
            await self.close()
            raise LineSilent from error
        except ReplyTooLarge as error:
            await self.close()
            raise refusals.too_large(MAX_REPLY_BYTES) from error
        except Exception as error:
            # redis-py lets through what comes of replies that are none, such as ValueError.
            await self.close()
            log.warning("Redis server %s: %s", self._server, error)
            raise refusals.broke_off(self._server) from error
        except BaseException:
            # Cancelled, say: a reply is still to come, and nobody must take it for the answer to something else.
            await self.close()
            raise
