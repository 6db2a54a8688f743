"""Floods of what somebody has to keep open: descriptors, connections, cursors, transactions."""

import contextlib
import os
import socket
from collections import Counter
from typing import Any, Dict, List

from flooder.base import Until, attempt, in_threads, plugin
from moorage_sdk.sql import connect

#: The socket on which the host answers.
HOST = "/run/host/h"


@plugin.task
def own_descriptors(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)
    kept: List[int] = []

    def work(counts: Counter) -> None:
        while until.on:
            attempt(counts, lambda: kept.append(os.open("/dev/null", os.O_RDONLY)), "descriptors")

    counts = in_threads(4, work)
    for descriptor in kept:
        os.close(descriptor)
    return counts


@plugin.task
def dials(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """To the host's socket, again and again; some connections are kept."""
    until = Until(input)
    kept: List[socket.socket] = []

    def dial() -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(HOST)
        except BaseException:
            connection.close()
            raise
        if len(kept) < 500:
            kept.append(connection)
        else:
            connection.close()

    def work(counts: Counter) -> None:
        while until.on:
            attempt(counts, dial, "connections")

    counts = in_threads(4, work)
    for connection in kept:
        connection.close()
    return counts


@plugin.task
def cursors(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """As many connections, and of each as many cursors with unread rows, as there may be."""
    until = Until(input)
    kept: List[Any] = []
    statement = "SELECT hex(zeroblob(1000)) FROM users a, users b"

    def work(counts: Counter) -> None:
        while until.on:
            db = connect()
            kept.append(db)
            for _ in range(20):
                cursor = db.cursor()
                attempt(counts, lambda cursor=cursor: cursor.execute(statement), "cursors")
                kept.append(cursor)
            del kept[4_000:]

    return in_threads(4, work)


@plugin.task
def transactions(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Writes and does not commit: nobody else may write meanwhile."""
    until = Until(input)

    def work(counts: Counter) -> None:
        while until.on:
            db = connect()
            attempt(counts, lambda db=db: db.execute("INSERT INTO pages (text) VALUES ('p')"), "writes")
            with contextlib.suppress(Exception):
                db.close()

    return in_threads(16, work)
