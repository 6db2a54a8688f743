"""The way from the event loop to the database: a thread that writes, a few that read; where hosts share it, one more
for what must not wait for others' locks.

SQLAlchemy's asyncio extension was not chosen: it needs greenlets, and SQLite gains nothing from more than one writer.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from moorage.store import postgresql
from moorage.store.engine import READERS, for_migrating, for_reading, for_writing, make_engine, prepare_file
from moorage.store.errors import StoreClosed, StoreFailed
from moorage.store.postgresql import Timeouts, is_postgresql

T = TypeVar("T")

#: One transaction's work; runs in a thread of the store. Where hosts share the database it may have to run again.
Work = Callable[[Connection], T]

#: Wait before the second try, doubled with each further one, and jittered (seconds).
_FIRST_DELAY, _MOST_DELAY = 0.002, 0.1


class Database:
    """Runs work in transactions. Writes happen one at a time, in the order in which they were asked for."""

    def __init__(self, url: URL, timeouts: Timeouts | None = None) -> None:
        """Raises PostgresClientMissing."""
        self._url = url
        self._engine = make_engine(url, timeouts or Timeouts())
        self._reading_engine = for_reading(self._engine)
        self._writing_engine = for_writing(self._engine)
        self._writer: ThreadPoolExecutor | None = None
        self._readers: ThreadPoolExecutor | None = None
        #: Of shared ones.
        self._urgent: ThreadPoolExecutor | None = None

    @property
    def shared(self) -> bool:
        """Whether other hosts may use it at the same time."""
        return is_postgresql(self._url)

    async def open(self, prepare: Work[None]) -> None:
        """Opens and runs ``prepare`` as the first transaction, which may change the tables.

        Raises StoreFailed and what ``prepare`` raises; it is then closed.
        """
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="moorage-store-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="moorage-store-reader")
        if self.shared:
            self._urgent = ThreadPoolExecutor(1, thread_name_prefix="moorage-store-urgent")
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._prepare_file)
            await self._run(self._writer, self._in_migration, prepare)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """After the writes that were asked for before. May be called twice."""
        writer, self._writer = self._writer, None
        readers, self._readers = self._readers, None
        urgent, self._urgent = self._urgent, None
        if writer is None or readers is None:
            return
        others = (readers,) if urgent is None else (readers, urgent)
        for executor in others:
            executor.shutdown(wait=False)
        try:
            for executor in others:
                await asyncio.get_running_loop().run_in_executor(writer, executor.shutdown)
            await asyncio.get_running_loop().run_in_executor(writer, self._engine.dispose)
        finally:
            writer.shutdown(wait=False)

    async def write(self, work: Work[T]) -> T:
        """Runs the work in the writer's thread and commits. Cancelled while waiting, it is done whole or not at all.

        Raises StoreFailed, StoreClosed and what the work raises; nothing was written then, unless the connection broke
        in the middle of the commit.
        """
        return await self._run(self._writer, self._in_write, work)

    async def write_urgently(self, work: Work[T]) -> T:
        """As ``write``, and not behind what waits there for other hosts' locks. Short, and of rows of its own."""
        return await self._run(self._urgent or self._writer, self._in_write, work)

    async def read(self, work: Work[T]) -> T:
        """Raises StoreFailed, StoreClosed and what the work raises."""
        return await self._run(self._readers, self._in_read, work)

    async def _run(self, executor: ThreadPoolExecutor | None, runner: Callable[[Work[T]], T], work: Work[T]) -> T:
        if executor is None:
            raise StoreClosed
        return await asyncio.get_running_loop().run_in_executor(executor, runner, work)

    def _in_write(self, work: Work[T]) -> T:
        return _persistently(self._writing_engine, work)

    def _in_read(self, work: Work[T]) -> T:
        return _persistently(self._reading_engine, work)

    def _in_migration(self, work: Work[T]) -> T:
        return _persistently(for_migrating(self._engine), work)

    def _prepare_file(self) -> None:
        try:
            prepare_file(self._url)
        except OSError as error:
            raise StoreFailed(f"{error.filename}: {error.strerror}") from error


def _persistently(engine: Engine, work: Work[T]) -> T:
    """Once, as a rule. Again where other hosts were in the way, and where the connection was found to be dead."""
    tries, delay, reconnected = 1, _FIRST_DELAY, False
    while True:
        attempt = _Attempt(engine)
        try:
            return attempt.run(work)
        except SQLAlchemyError as error:
            lost = attempt.connected and not attempt.committing and not reconnected and _is_lost(error)
            if not lost and tries >= postgresql.worth_tries(error):
                raise sentence(error) from error
        if lost:
            # The pool has forgotten all its connections: the next one is new.
            reconnected = True
            continue
        tries += 1
        time.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
        delay = min(2 * delay, _MOST_DELAY)


class _Attempt:
    """One transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.connected = False
        #: Should the connection break from here on, nobody knows whether it was written.
        self.committing = False

    def run(self, work: Work[T]) -> T:
        with self._engine.connect() as connection:
            self.connected = True
            with connection.begin():
                result = work(connection)
                self.committing = True
        return result


def _is_lost(error: SQLAlchemyError) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def sentence(error: SQLAlchemyError) -> BaseException:
    """The driver's own words: neither the statement nor its parameters, which hold plugins' data."""
    if isinstance(error, DBAPIError):
        return StoreFailed(postgresql.problem(error.orig) or str(error.orig).strip().rstrip("."))
    if isinstance(error, StatementError) and error.orig is not None:
        # A value that a column type refused, before any statement was sent.
        return error.orig
    return StoreFailed(type(error).__name__)
