"""The plugin's own tables, in the application's database."""

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class ArtistPlays(Base):
    """How often one person played one artist."""

    __tablename__ = "scrobbler_artist_plays"

    user: Mapped[str] = mapped_column(String(100), primary_key=True)
    artist: Mapped[str] = mapped_column(String(200), primary_key=True)
    plays: Mapped[int]


class Hour(Base):
    """How much is played in one hour of the day, UTC."""

    __tablename__ = "scrobbler_hours"

    hour: Mapped[int] = mapped_column(primary_key=True)
    plays: Mapped[int]


class Pending(Base):
    """A listening that Last.fm has not taken yet."""

    __tablename__ = "scrobbler_pending"
    __table_args__ = (UniqueConstraint("timestamp", "artist", "track"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    #: When it began, in seconds since 1970 UTC.
    timestamp: Mapped[int]
    artist: Mapped[str] = mapped_column(String(200))
    track: Mapped[str] = mapped_column(String(200))
    album: Mapped[str] = mapped_column(String(200), default="")
    #: Why Last.fm does not want it; empty: it has not been asked, or could not be reached.
    refused: Mapped[str] = mapped_column(String(300), default="")
