"""The user that an installation has on the server itself, where the server lets the host make one."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from moorage.broker.services.redis import refusals
from moorage.broker.services.redis.acl import user_rules
from moorage.broker.services.redis.wire import ServerError
from moorage.models.installation import InstallationId
from moorage_proto.capability import Grants
from moorage_proto.redis_access import examine_subscription
from moorage_proto.redis_table import CommandTable

log = logging.getLogger(__name__)

#: Asks the server with the operator's own login.
Ask = Callable[..., Awaitable[Any]]

#: Different patterns that an installation may have subscribed to while the host runs: each stands in its user.
MAX_PATTERNS = 1_000


class NoUsers(Exception):
    """The server does not let the host make users."""

    def __init__(self, line: str) -> None:
        super().__init__(line)


class Account:
    def __init__(self, server: str, prefix: str, installation: InstallationId, ask: Ask) -> None:
        self.username = f"{prefix}{installation}"
        self.password = secrets.token_urlsafe(32)
        self._server = server
        self._ask = ask
        self._applied: Grants | None = None
        self._patterns: set[bytes] = set()
        self._changing = asyncio.Lock()

    async def fit(self, grants: Grants, table: CommandTable, *, tells_reading: bool) -> None:
        """Makes the user, or fits it to grants that changed.

        Raises NoUsers, or CallError when the server does not answer.
        """
        if self._applied is grants:
            return
        async with self._changing:
            self._patterns = {pattern for pattern in self._patterns if self._still_allowed(grants, pattern)}
            rules = user_rules(
                grants, self._server, table, tells_reading=tells_reading, patterns=sorted(self._patterns)
            )
            digest = hashlib.sha256(self.password.encode()).hexdigest()
            # The password after `reset`, which takes all away, and before anybody can log in without.
            await self._set((rules[0], f"#{digest}".encode(), *rules[1:]))
            self._applied = grants

    async def allow_pattern(self, pattern: bytes) -> None:
        """Of a pattern subscription that the broker has allowed: the server knows it only letter by letter."""
        if pattern in self._patterns:
            return
        if len(self._patterns) >= MAX_PATTERNS:
            raise refusals.too_many("different patterns", MAX_PATTERNS)
        try:
            await self._set((b"&" + pattern,))
        except NoUsers as error:
            # All channels are granted already, or the pattern has a space, which no user can have.
            log.info("Redis server %s: %s: %s", self._server, self.username, error)
        self._patterns.add(pattern)

    def forget(self) -> None:
        """The server does not know the user any more: it was started anew."""
        self._applied = None

    async def remove(self) -> None:
        self._applied = None
        await self._ask(b"ACL", b"DELUSER", self.username.encode())

    def _still_allowed(self, grants: Grants, pattern: bytes) -> bool:
        needs = examine_subscription((b"PSUBSCRIBE", pattern), self._server)
        return all(grants.decide(need).allowed for need in needs)

    async def _set(self, rules: Sequence[bytes]) -> None:
        answer = await self._ask(b"ACL", b"SETUSER", self.username.encode(), *rules)
        if isinstance(answer, ServerError):
            raise NoUsers(answer.line)
