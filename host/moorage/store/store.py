"""The store: one database, and the nouns in it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import URL, Connection, make_url

from moorage.store.adoption import adopt
from moorage.store.attempts import Attempts
from moorage.store.audit import Audit
from moorage.store.config import ConfigValues
from moorage.store.contributions import Contributions
from moorage.store.database import Database
from moorage.store.engine import for_file
from moorage.store.executions import Executions
from moorage.store.grants import Grants
from moorage.store.hosts import Hosts
from moorage.store.incarnations import Incarnations
from moorage.store.installations import Installations
from moorage.store.log_levels import LogLevels
from moorage.store.logs import Logs
from moorage.store.migrate import migrate
from moorage.store.outcomes import Outcomes
from moorage.store.policy_values import PolicyValues
from moorage.store.postgresql import Timeouts
from moorage.store.retention import Retention
from moorage.store.secrets import Secrets
from moorage.store.switches import Switches
from moorage.store.triggers import Triggers
from moorage.store.uids import Uids


class Store:
    """What the host must still know after it was killed.

    Every method of its nouns is one transaction, and raises StoreFailed when the database does not do its part.
    """

    def __init__(self, location: Path | str | URL, *, host: str = "", timeouts: Timeouts | None = None) -> None:
        """The path of an SQLite file, or a SQLAlchemy URL. ``host``: the id of the host that opens it, always the same.

        Raises PostgresClientMissing.
        """
        url = for_file(location) if isinstance(location, Path) else make_url(location)
        self._database = Database(url, timeouts)
        self._host = host
        self.installations = Installations(self._database, host)
        self.grants = Grants(self._database, host)
        self.executions = Executions(self._database)
        self.attempts = Attempts(self._database)
        self.hosts = Hosts(self._database, host)
        self.incarnations = Incarnations(self._database, host)
        self.logs = Logs(self._database)
        self.audit = Audit(self._database)
        self.retention = Retention(self._database)
        self.uids = Uids(self._database, host)
        self.secrets = Secrets(self._database)
        self.config = ConfigValues(self._database)
        self.log_levels = LogLevels(self._database)
        self.policy_values = PolicyValues(self._database)
        self.contributions = Contributions(self._database)
        self.switches = Switches(self._database)
        self.triggers = Triggers(self._database)
        self.outcomes = Outcomes(self._database)

    @property
    def shared(self) -> bool:
        """Whether other hosts may use it at the same time."""
        return self._database.shared

    async def open(self) -> None:
        """Opens it, and brings its schema to that of this version.

        Raises StoreFailed, SchemaNewer, NotAStore.
        """
        await self._database.open(self._prepare)

    def _prepare(self, connection: Connection) -> None:
        migrate(connection)
        if self._host:
            adopt(connection, self._host, alone=not self.shared)

    async def close(self) -> None:
        """After all that was asked for before is written. May be called twice."""
        await self._database.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
