"""Writes down each of its executions in the application's database, so that lost and repeated ones are seen."""

import time
from dataclasses import dataclass

from moorage_sdk import Plugin
from moorage_sdk.sql import Connection

plugin = Plugin()


@dataclass
class Entry:
    text: str
    seconds: float


@plugin.task
def execute(db: Connection, entry: Entry) -> str:
    """Takes so many seconds, and leaves one row."""
    time.sleep(entry.seconds)
    db.cursor().execute("INSERT INTO entries (text) VALUES (?)", (entry.text,))
    return entry.text
