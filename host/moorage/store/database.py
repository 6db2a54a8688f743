"""The way from the event loop to the database: a thread that writes, a few that read.

SQLAlchemy's asyncio extension was not chosen: it needs greenlets, and SQLite gains nothing from more than one writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from moorage.store.engine import READERS, for_writing, make_engine, prepare_file
from moorage.store.errors import StoreClosed, StoreFailed

T = TypeVar("T")

#: One transaction's work; runs in a thread of the store.
Work = Callable[[Connection], T]


class Database:
    """Runs work in transactions. Writes happen one at a time, in the order in which they were asked for."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine = make_engine(url)
        self._writing_engine = for_writing(self._engine)
        self._writer: ThreadPoolExecutor | None = None
        self._readers: ThreadPoolExecutor | None = None

    async def open(self, prepare: Work[None]) -> None:
        """Opens and runs ``prepare`` as the first writing transaction.

        Raises StoreFailed and what ``prepare`` raises; it is then closed.
        """
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="moorage-store-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="moorage-store-reader")
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._prepare_file)
            await self.write(prepare)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """After the writes that were asked for before. May be called twice."""
        writer, self._writer = self._writer, None
        readers, self._readers = self._readers, None
        if writer is None or readers is None:
            return
        readers.shutdown(wait=False)
        try:
            await asyncio.get_running_loop().run_in_executor(writer, readers.shutdown)
            await asyncio.get_running_loop().run_in_executor(writer, self._engine.dispose)
        finally:
            writer.shutdown(wait=False)

    async def write(self, work: Work[T]) -> T:
        """Runs the work in the writer's thread and commits. Cancelled while waiting, it is done whole or not at all.

        Raises StoreFailed, StoreClosed and what the work raises; nothing was written then.
        """
        return await self._run(self._writer, self._in_write, work)

    async def read(self, work: Work[T]) -> T:
        """Raises StoreFailed, StoreClosed and what the work raises."""
        return await self._run(self._readers, self._in_read, work)

    async def _run(self, executor: ThreadPoolExecutor | None, runner: Callable[[Work[T]], T], work: Work[T]) -> T:
        if executor is None:
            raise StoreClosed
        return await asyncio.get_running_loop().run_in_executor(executor, runner, work)

    def _in_write(self, work: Work[T]) -> T:
        try:
            with self._writing_engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise _sentence(error) from error

    def _in_read(self, work: Work[T]) -> T:
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise _sentence(error) from error

    def _prepare_file(self) -> None:
        try:
            prepare_file(self._url)
        except OSError as error:
            raise StoreFailed(f"{error.filename}: {error.strerror}") from error


def _sentence(error: SQLAlchemyError) -> BaseException:
    """The driver's own words: neither the statement nor its parameters, which hold plugins' data."""
    if isinstance(error, DBAPIError):
        return StoreFailed(str(error.orig).strip().rstrip("."))
    if isinstance(error, StatementError) and error.orig is not None:
        # A value that a column type refused, before any statement was sent.
        return error.orig
    return StoreFailed(type(error).__name__)
