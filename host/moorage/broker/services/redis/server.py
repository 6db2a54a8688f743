"""One named Redis server: its table of commands, and each installation's user and connections. Opened on first use."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from moorage.broker.services.redis import refusals
from moorage.broker.services.redis.account import Account, NoUsers
from moorage.broker.services.redis.connections import Connections, ConnectionsByUrl
from moorage.broker.services.redis.embedded import EmbeddedConnections
from moorage.broker.services.redis.line import Line, LineSilent, LoginRefused
from moorage.broker.services.redis.lines import Lines
from moorage.broker.services.redis.wire import ServerError
from moorage.config.services.redis import EMBEDDED, RedisBackend
from moorage.models.installation import InstallationId
from moorage_proto.capability import Grants
from moorage_proto.errors import CallError
from moorage_proto.redis_table import CommandTable, committed_table, table_from_reply

log = logging.getLogger(__name__)

#: The present grants of an installation.
GrantsOf = Callable[[InstallationId], Grants]

#: What of an installation was not used for so long is closed when another one comes.
IDLE_SECONDS = 300.0


#: Longest wait for a busy server to end a script; by default it listens to nobody for 5 s.
KILL_SECONDS = 10.0

#: The same while the host stops.
CLOSING_KILL_SECONDS = 2.0

#: How often it is asked, between pauses; nothing runs when it has said so twice.
MAX_KILLS = 200
QUIET_KILLS = 2
KILL_PAUSE_SECONDS = 0.1


@dataclass
class Tenant:
    """One installation on one server."""

    lines: Lines
    account: Account | None
    last_used: float = field(default_factory=time.monotonic)


class Server:
    def __init__(self, name: str, settings: RedisBackend, grants_of: GrantsOf, owner: str) -> None:
        """``owner`` tells this host's users on the server from another's. Raises RedisClientMissing and
        RedisSettingsInvalid.
        """
        self.name = name
        self._settings = settings
        self._grants_of = grants_of
        self._prefix = f"moorage/{owner}/{name}/"
        self.is_embedded = settings.url == EMBEDDED
        self._connections: Connections = (
            EmbeddedConnections() if self.is_embedded else ConnectionsByUrl(name, settings.url)
        )
        self._table: CommandTable | None = None
        #: Whether the server can tell reading from writing in its own rules (7.0).
        self._tells_reading = True
        self._makes_users = not self.is_embedded and settings.acl != "off"
        self._owners: Line | None = None
        self._asking = asyncio.Lock()
        #: Times that it could not be asked.
        self._failures = 0
        self._killing: asyncio.Task[None] | None = None
        #: That nobody waits for any more.
        self._lost_scripts = 0
        self._tenants: dict[InstallationId, Tenant] = {}
        self._arriving: dict[InstallationId, asyncio.Lock] = {}

    @property
    def timeout_seconds(self) -> float:
        """Longest that the server may take for what does not wait."""
        return self._settings.timeout

    async def table(self) -> CommandTable:
        """Raises CallError(BACKEND_UNAVAILABLE)."""
        if self._table is None:
            await self._ask(b"PING")
        assert self._table is not None, "read whenever the operator's connection is opened"
        return self._table

    async def own_line(self) -> Line:
        """By the operator's own login, for the host's own work. Whoever takes it closes it. Raises CallError."""
        return await self._opened()

    async def lines(self, installation: InstallationId) -> Lines:
        """With the installation's user as the present grants want it. Raises CallError."""
        return (await self._tenant(installation)).lines

    async def allow_pattern(self, installation: InstallationId, pattern: bytes) -> None:
        """Of a pattern subscription that the broker has allowed."""
        account = (await self._tenant(installation)).account
        if account is not None:
            await account.allow_pattern(pattern)

    def refuse_scripts(self) -> CallError | None:
        """Why scripts cannot be run here, if so. Known once an installation's user was, or was not, made."""
        if self.is_embedded:
            return refusals.scripts_embedded(self.name)
        if not self._makes_users and not self._settings.unfenced_scripts:
            return refusals.scripts_unfenced(self.name)
        return None

    def end_scripts(self) -> None:
        """In the background: of those scripts that nobody waits for any more, the one that the server still runs."""
        self._lost_scripts += 1
        if self._killing is None or self._killing.done():
            self._killing = asyncio.create_task(self._kill(), name=f"redis {self.name} ends scripts")

    async def forget(self, installation: InstallationId) -> None:
        """Closes what an installation has here, and removes its user. Does nothing when it has nothing."""
        tenant = self._tenants.pop(installation, None)
        if tenant is None:
            return
        await tenant.lines.close()
        if tenant.account is not None:
            try:
                await tenant.account.remove()
            except CallError as error:
                log.warning("Redis server %s: the user of %s stays: %s", self.name, installation, error)

    async def close(self) -> None:
        if self._killing is not None:
            await asyncio.wait((self._killing,), timeout=CLOSING_KILL_SECONDS)
            self._killing.cancel()
            await asyncio.wait((self._killing,))
        for installation in tuple(self._tenants):
            await self.forget(installation)
        if self._owners is not None:
            await self._owners.close()
            self._owners = None

    async def _tenant(self, installation: InstallationId) -> Tenant:
        table = await self.table()
        async with self._arriving.setdefault(installation, asyncio.Lock()):
            tenant = self._tenants.get(installation)
            if tenant is None:
                await self._retire_idle()
                tenant = self._tenants[installation] = self._arrival(installation)
            tenant.last_used = time.monotonic()
            await self._fit(tenant, installation, table)
            return tenant

    def _arrival(self, installation: InstallationId) -> Tenant:
        account = Account(self.name, self._prefix, installation, self._ask) if self._makes_users else None
        tenant = Tenant(Lines(lambda: self._open_line(installation, tenant)), account)
        return tenant

    async def _fit(self, tenant: Tenant, installation: InstallationId, table: CommandTable) -> None:
        if tenant.account is None:
            return
        try:
            await tenant.account.fit(self._grants_of(installation), table, tells_reading=self._tells_reading)
        except NoUsers as error:
            if self._settings.acl == "required":
                log.error("Redis server %s: no user for %s: %s", self.name, installation, error)
                raise refusals.unavailable(
                    self.name, "does not let the host make users, which its settings ask for"
                ) from None
            log.warning(
                "Redis server %s does not let the host make users (%s); the broker's check is the only one there.",
                self.name,
                error,
            )
            self._makes_users = False
            tenant.account = None

    async def _open_line(self, installation: InstallationId, tenant: Tenant) -> Line:
        if tenant.lines.closed:
            # Its user is gone, or goes now: nothing of it may come by the operator's login instead.
            raise refusals.unavailable(self.name, "has nothing for this installation any more")
        account = tenant.account
        if account is None:
            return await self._opened()
        try:
            return await self._opened((account.username, account.password))
        except LoginRefused:
            # It was started anew and has forgotten its users.
            account.forget()
            await account.fit(self._grants_of(installation), await self.table(), tells_reading=self._tells_reading)
        try:
            return await self._opened((account.username, account.password))
        except LoginRefused as error:
            log.warning("Redis server %s: the user of %s: %s", self.name, installation, error)
            raise refusals.unavailable(self.name, "does not let this installation in") from error

    async def _opened(self, login: tuple[str, str] | None = None) -> Line:
        line = Line(self.name, self._connections.new())
        try:
            await line.open(login)
        except LoginRefused as error:
            if login is not None:
                raise
            log.warning("Redis server %s: %s", self.name, error)
            raise refusals.unavailable(self.name, "does not accept the host's login") from error
        return line

    async def _kill(self) -> None:
        """On a connection of its own, without a database: a busy server lets nobody choose one."""
        line = Line(self.name, self._connections.new(db=0))
        try:
            await line.open()
            while self._lost_scripts:
                self._lost_scripts = 0
                await self._kill_by(line)
        except (CallError, LineSilent, LoginRefused) as error:
            log.warning("Redis server %s: a script that nobody waits for may go on: %r", self.name, error)
        finally:
            self._lost_scripts = 0
            await line.close()

    async def _kill_by(self, line: Line) -> None:
        """One after another: each that ends lets the next begin, and some may not have begun."""
        quiet = 0
        for _ in range(MAX_KILLS):
            answers = await line.run([(b"SCRIPT", b"KILL"), (b"FUNCTION", b"KILL")], "", KILL_SECONDS)
            errors = [answer for answer in answers if isinstance(answer, ServerError)]
            for error in errors:
                if error.code in ("NOPERM", "UNKILLABLE"):
                    log.error("Redis server %s: a script of a plugin goes on: %s", self.name, error.line)
                    return
            quiet = quiet + 1 if len(errors) == len(answers) else 0
            if quiet == QUIET_KILLS:
                return
            await asyncio.sleep(KILL_PAUSE_SECONDS)

    async def _ask(self, *command: bytes) -> Any:
        """The server's answer to the operator's own login. Raises CallError."""
        failures = self._failures
        async with self._asking:
            if self._failures != failures:
                # Not one after another: each would wait as long as the one before.
                raise refusals.unavailable(self.name, "does not answer")
            try:
                return await self._asked(command)
            except CallError:
                self._failures += 1
                raise

    async def _asked(self, command: Sequence[bytes]) -> Any:
        if self._owners is None or not await self._owners.is_usable():
            await self._renew()
        assert self._owners is not None, "it was renewed"
        (answer,) = await self._run_own(self._owners, [command])
        return answer

    async def _renew(self) -> None:
        if self._owners is not None:
            await self._owners.close()
            self._owners = None
        line = await self._opened()
        await self._learn(line)
        self._owners = line

    async def _run_own(self, line: Line, commands: Sequence[Sequence[bytes]]) -> list[Any]:
        try:
            return await line.run(commands, "moorage", self.timeout_seconds)
        except LineSilent as error:
            raise refusals.unavailable(self.name, "does not answer") from error

    async def _learn(self, line: Line) -> None:
        """Anew with each connection: another server may be behind the address."""
        if self.is_embedded:
            self._table = committed_table()
            return
        (reply, users) = await self._run_own(line, [(b"COMMAND",), (b"ACL", b"USERS")])
        if isinstance(reply, ServerError):
            log.warning("Redis server %s: %s", self.name, reply.line)
            await line.close()
            raise refusals.unavailable(self.name, f"does not answer the host ({reply.code})")
        try:
            self._table = await asyncio.to_thread(table_from_reply, reply)
            self._tells_reading = bool(reply) and len(reply[0]) > 8
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            log.warning("Redis server %s: its table of commands cannot be read: %r", self.name, error)
            await line.close()
            raise refusals.unavailable(self.name, "answers what no Redis server does") from error
        if self._makes_users and isinstance(users, list):
            await self._sweep(line, users)

    async def _sweep(self, line: Line, users: list[bytes]) -> None:
        """Removes users that this host left behind when it was killed."""
        own = {tenant.account.username.encode() for tenant in self._tenants.values() if tenant.account is not None}
        left = [user for user in users if user.startswith(self._prefix.encode()) and user not in own]
        if left:
            await self._run_own(line, [(b"ACL", b"DELUSER", *left)])

    async def _retire_idle(self) -> None:
        long_ago = time.monotonic() - IDLE_SECONDS
        for installation, tenant in tuple(self._tenants.items()):
            if tenant.last_used < long_ago and not tenant.lines.in_use:
                await self.forget(installation)
