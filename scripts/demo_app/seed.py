"""Makes the demo application's database: people, and what they listened to in September 2026."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

ROOT = Path(__file__).resolve().parents[2]
HISTORY = Path(__file__).with_name("listening_history.csv")

sys.path.insert(0, str(ROOT / "plugins" / "jukebox-models"))
from jukebox_models import Base, Play, User  # noqa: E402 - the application's own package, found by the line above


def seed(database: Path) -> int:
    """Creates the tables and fills them once; returns the number of plays."""
    database.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        plays = session.query(Play).count()
        if not plays:
            plays = _fill(session)
    engine.dispose()
    return plays


def _fill(session: Session) -> int:
    users: dict[str, User] = {}
    count = 0
    with HISTORY.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            user = users.setdefault(row["user"], User(name=row["user"]))
            user.plays.append(
                Play(
                    played_at=datetime.fromisoformat(row["played_at"]).replace(tzinfo=None),
                    artist=row["artist"],
                    track=row["track"],
                    album=row["album"],
                    year=int(row["year"]),
                )
            )
            count += 1
    session.add_all(users.values())
    return count
