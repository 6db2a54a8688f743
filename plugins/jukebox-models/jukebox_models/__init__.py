"""The tables of the jukebox application. Written so that SQLAlchemy 1.4 and 2 both map them."""

from sqlalchemy import Column, DateTime, ForeignKey, Integer, String
from sqlalchemy.orm import declarative_base, relationship

__all__ = ["Base", "Play", "User"]

Base = declarative_base()


class User(Base):
    """Someone who listens."""

    __tablename__ = "users"

    id = Column(Integer, primary_key=True)
    name = Column(String(100), nullable=False, unique=True)

    plays = relationship("Play", back_populates="user", order_by="Play.played_at")


class Play(Base):
    """One track, played once. Artists are spelled as each player spelled them."""

    __tablename__ = "plays"

    id = Column(Integer, primary_key=True)
    user_id = Column(ForeignKey("users.id"), nullable=False, index=True)
    #: UTC, without an offset.
    played_at = Column(DateTime, nullable=False, index=True)
    artist = Column(String(200), nullable=False)
    track = Column(String(200), nullable=False)
    album = Column(String(200), nullable=False)
    #: Of the album.
    year = Column(Integer, nullable=False)

    user = relationship("User", back_populates="plays")
