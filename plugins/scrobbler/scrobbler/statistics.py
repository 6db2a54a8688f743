"""Turns a listening history into statistics."""

import logging
from collections import Counter

from jukebox_models import Play, User
from pydantic import BaseModel
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from moorage_sdk import Context
from moorage_sdk.kafka import Producer
from scrobbler.declared import plugin
from scrobbler.spelling import canonical
from scrobbler.tables import ArtistPlays, Base, Hour

TOPIC = "plugin-topic"


class Options(BaseModel):
    """What a run may be asked for."""

    #: Artists to name in the result.
    top: int = 5


class Favourite(BaseModel):
    artist: str
    plays: int


class Statistics(BaseModel):
    plays: int
    listeners: int
    artists: int
    busiest_hour: int
    favourites: list[Favourite]


@plugin.task
def execute(ctx: Context, options: Options, db: Session, kafka: Producer, log: logging.Logger) -> Statistics:
    """Builds the statistics anew from the whole history."""
    Base.metadata.create_all(db.connection())
    rows = db.execute(select(User.name, Play.artist, Play.played_at).join(Play, Play.user_id == User.id)).all()
    spelling = canonical(row.artist for row in rows)
    ctx.progress(0.3, f"{len(rows)} plays read")
    by_artist = Counter((row.name, spelling[row.artist]) for row in rows)
    hours = Counter(row.played_at.hour for row in rows)
    _replace(db, by_artist, hours)
    ctx.progress(0.9, "written")
    statistics = _statistics(by_artist, hours, options.top)
    best = statistics.favourites[0].artist if statistics.favourites else "nobody"
    kafka.send(TOPIC, f"Scrobbled {statistics.plays} plays; most played: {best}").result(timeout=10)
    log.info("statistics built", extra={"plays": statistics.plays, "artists": statistics.artists})
    return statistics


@plugin.task
def favourites(options: Options, db: Session) -> list[Favourite]:
    """Names the most played artists, from the tables of the last run."""
    totals: Counter[str] = Counter()
    for row in db.scalars(select(ArtistPlays)):
        totals[row.artist] += row.plays
    return [Favourite(artist=artist, plays=plays) for artist, plays in totals.most_common(options.top)]


def _replace(db: Session, by_artist: Counter[tuple[str, str]], hours: Counter[int]) -> None:
    db.execute(delete(ArtistPlays))
    db.execute(delete(Hour))
    db.add_all(ArtistPlays(user=user, artist=artist, plays=plays) for (user, artist), plays in by_artist.items())
    db.add_all(Hour(hour=hour, plays=plays) for hour, plays in hours.items())


def _statistics(by_artist: Counter[tuple[str, str]], hours: Counter[int], top: int) -> Statistics:
    totals: Counter[str] = Counter()
    for (_, artist), plays in by_artist.items():
        totals[artist] += plays
    return Statistics(
        plays=totals.total(),
        listeners=len({user for user, _ in by_artist}),
        artists=len(totals),
        busiest_hour=hours.most_common(1)[0][0] if hours else 0,
        favourites=[Favourite(artist=artist, plays=plays) for artist, plays in totals.most_common(top)],
    )
