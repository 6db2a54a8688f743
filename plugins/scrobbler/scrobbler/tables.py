"""The plugin's own tables, in the application's database."""

from sqlalchemy import String
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
