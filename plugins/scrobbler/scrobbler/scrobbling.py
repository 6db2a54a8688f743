"""Tells Last.fm what is played: now, and when it was listened to. What cannot be told at the moment is told later."""

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Optional

import httpx
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from moorage_sdk import Context
from moorage_sdk.secrets import Secrets
from scrobbler.declared import Settings, plugin
from scrobbler.lastfm import BATCH, Account, Heard, LastFm, NotAuthorised, Refused, Unavailable
from scrobbler.tables import Base, Pending

#: The application's, given by the operator; and what the plugin keeps of its user.
KEY, SECRET, TOKEN, SESSION = "LASTFM_KEY", "LASTFM_SECRET", "LASTFM_TOKEN", "LASTFM_SESSION"

#: A track shorter than this is not scrobbled; others are when half of them, or so much, was heard.
SHORTEST_SECONDS, ENOUGH_SECONDS = 30, 240


@dataclass
class Playing:
    """The data of the events ``track.playing`` and ``track.played``."""

    artist: str
    track: str
    album: str = ""
    #: Length of the track, and how much of it was heard.
    seconds: float = 0.0
    heard_seconds: float = 0.0
    started_at: Optional[datetime] = None

    @property
    def counts(self) -> bool:
        """Whether it was listened to, as Last.fm sees it."""
        return self.seconds > SHORTEST_SECONDS and self.heard_seconds >= min(self.seconds / 2, ENOUGH_SECONDS)

    def heard(self) -> Heard:
        began = self.started_at or datetime.now(timezone.utc)
        return Heard(self.artist, self.track, self.album, int(began.timestamp()))


@dataclass
class Report:
    sent: int = 0
    #: Still to be told, when Last.fm can be reached again.
    waiting: int = 0
    #: Last.fm does not want them; they stay in the table with its reason.
    refused: int = 0


class NotConnected(Exception):
    """The plugin was not granted what it needs for Last.fm, or its operator has not set the key."""


@plugin.task
def authorize(settings: Settings, http: Optional[httpx.Client], secrets: Optional[Secrets]) -> str:
    """Begins to connect a user: returns the page where they say yes. Then run `confirm`."""
    lastfm = _connected(settings, http, secrets)
    token = lastfm.token()
    secrets[TOKEN] = token
    return lastfm.approval_url(token)


@plugin.task
def confirm(settings: Settings, http: Optional[httpx.Client], secrets: Optional[Secrets]) -> str:
    """Connects the user who has said yes; returns their name."""
    lastfm = _connected(settings, http, secrets)
    token = secrets.get(TOKEN)
    if token is None:
        raise NotConnected("Nobody was asked yet; run the task authorize first, and open the page that it returns.")
    name, session = lastfm.session(token.reveal())
    secrets[SESSION] = session
    secrets.delete(TOKEN)
    return name


@plugin.on_event("track.playing")
def now_playing(
    playing: Playing,
    settings: Settings,
    http: Optional[httpx.Client],
    secrets: Optional[Secrets],
    log: logging.Logger,
) -> None:
    """It is nice to have: what is missed is gone."""
    lastfm = _signed_in(settings, http, secrets)
    if lastfm is None:
        return
    try:
        lastfm.now_playing(playing.heard())
    except (Refused, Unavailable) as problem:
        log.warning("now playing was not told: %s", problem)


@plugin.on_event("track.played")
def played(
    playing: Playing,
    db: Session,
    settings: Settings,
    http: Optional[httpx.Client],
    secrets: Optional[Secrets],
    log: logging.Logger,
) -> None:
    """Written down first, and told then: what Last.fm does not take now waits for the task `scrobble`."""
    if not playing.counts:
        return
    Base.metadata.create_all(db.connection(), tables=[Pending.__table__])
    heard = playing.heard()
    known = select(Pending.id).filter_by(timestamp=heard.timestamp, artist=heard.artist, track=heard.track)
    if db.scalar(known) is None:
        db.add(Pending(timestamp=heard.timestamp, artist=heard.artist, track=heard.track, album=heard.album))
        db.flush()
    lastfm = _signed_in(settings, http, secrets)
    if lastfm is not None:
        _send(db, lastfm, secrets, log)


@plugin.task
def scrobble(
    ctx: Context,
    db: Session,
    settings: Settings,
    http: Optional[httpx.Client],
    secrets: Optional[Secrets],
    log: logging.Logger,
) -> Report:
    """Tells Last.fm what it has not taken yet."""
    Base.metadata.create_all(db.connection(), tables=[Pending.__table__])
    lastfm = _signed_in(settings, http, secrets)
    if lastfm is None:
        return Report(waiting=len(_waiting(db)))
    report = _send(db, lastfm, secrets, log)
    ctx.progress(1.0, f"{report.sent} sent, {report.waiting} waiting")
    return report


def _send(db: Session, lastfm: LastFm, secrets: Secrets, log: logging.Logger) -> Report:
    """In batches, oldest first. Last.fm passes over what it has had before, so that a batch may be sent again."""
    report = Report()
    waiting = list(_waiting(db).items())
    batches = deque(dict(waiting[start : start + BATCH]) for start in range(0, len(waiting), BATCH))
    while batches:
        batch = batches.popleft()
        # What is written is safe before Last.fm is waited for, and no transaction is open meanwhile: it would keep
        # others from writing, and be rolled back when it takes long.
        db.commit()
        try:
            lastfm.scrobble(list(batch.values()))
        except (Unavailable, NotAuthorised) as problem:
            if isinstance(problem, NotAuthorised):
                log.error("its user has to authorize the plugin again: %s", problem)
                secrets.delete(SESSION)
            else:
                log.warning("scrobbles wait: %s", problem)
            report.waiting = len(batch) + sum(map(len, batches))
            return report
        except Refused as problem:
            if len(batch) > 1:
                # One of them is enough for that: it is found by halves.
                middle = len(batch) // 2
                parts = list(batch.items())
                batches.extendleft((dict(parts[middle:]), dict(parts[:middle])))
                continue
            db.execute(update(Pending).where(Pending.id.in_(batch)).values(refused=str(problem)[:300]))
            report.refused += 1
        else:
            # Another one who sends at the same time may have removed them.
            db.execute(delete(Pending).where(Pending.id.in_(batch)))
            report.sent += len(batch)
    return report


def _waiting(db: Session) -> Mapping[int, Heard]:
    """By the id of their rows, oldest first."""
    rows = db.execute(
        select(Pending.id, Pending.artist, Pending.track, Pending.album, Pending.timestamp)
        .filter_by(refused="")
        .order_by(Pending.timestamp)
    )
    return {row.id: Heard(row.artist, row.track, row.album, row.timestamp) for row in rows}


def _connected(settings: Settings, http: Optional[httpx.Client], secrets: Optional[Secrets]) -> LastFm:
    """Raises NotConnected."""
    if http is None or secrets is None:
        raise NotConnected("This installation was granted neither Last.fm's API nor secrets; see: moorage grants")
    key, secret, session = secrets.get(KEY), secrets.get(SECRET), secrets.get(SESSION)
    if key is None or secret is None:
        raise NotConnected(f"Last.fm's key is not set; its operator does: moorage secrets set NAME {KEY}, and {SECRET}")
    account = Account(key.reveal(), secret.reveal(), session.reveal() if session is not None else "")
    return LastFm(http, account, settings.lastfm_api)


def _signed_in(settings: Settings, http: Optional[httpx.Client], secrets: Optional[Secrets]) -> Optional[LastFm]:
    """None: nobody has connected the plugin with Last.fm."""
    if http is None or secrets is None or secrets.get(SESSION) is None:
        return None
    return _connected(settings, http, secrets)
