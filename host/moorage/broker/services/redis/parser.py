"""Reads replies as redis.asyncio does, and stops where they grow too large."""

from __future__ import annotations

import functools
from typing import Any

from moorage.broker.services.redis.library import client
from moorage.broker.services.redis.wire import ITEM_BYTES, MAX_REPLY_BYTES, ReplyTooLarge, ServerError


@functools.cache
def reply_parser() -> Any:
    """The class; made when it is first needed, as its base is of an extra."""
    base = client()._parsers.resp2._AsyncRESP2Parser  # noqa: SLF001 - what `parser_class` is made for has no public name

    class ReplyParser(base):  # type: ignore[misc, valid-type]
        """Errors stay as the server words them; redis-py's own exceptions drop the code of those that it knows."""

        def __init__(self, socket_read_size: int) -> None:
            super().__init__(socket_read_size)
            self._left = MAX_REPLY_BYTES

        async def read_response(self, disable_decoding: bool = False) -> Any:
            self._left = MAX_REPLY_BYTES
            return await super().read_response(disable_decoding)

        async def _read(self, length: int) -> bytes:
            """Asked before memory is taken: the length comes first."""
            self._spend(length)
            data: bytes = await super()._read(length)
            return data

        async def _readline(self) -> bytes:
            line: bytes = await super()._readline()
            self._spend(ITEM_BYTES + len(line))
            return line

        def _spend(self, size: int) -> None:
            self._left -= size
            if self._left < 0:
                raise ReplyTooLarge

        @classmethod
        def parse_error(cls, response: str) -> ServerError:
            return ServerError(response)

    return ReplyParser
