"""Counts plays by decade, as one wrote it in 2021."""

import logging
from typing import Dict

from google import protobuf
from jukebox_models import Play
from pydantic import VERSION as PYDANTIC_VERSION
from pydantic import BaseModel, validator
from sqlalchemy import __version__ as sqlalchemy_version
from sqlalchemy import func
from sqlalchemy.orm import Session

from moorage_sdk import Plugin
from moorage_sdk.kafka import Producer

TOPIC = "plugin-topic"

plugin = Plugin()


class Decades(BaseModel):
    """Plays by the decade of the album."""

    plays: Dict[str, int]
    oldest: int
    newest: int
    libraries: Dict[str, str]

    @validator("newest")
    def newest_is_not_older(cls, newest: int, values: Dict[str, object]) -> int:  # noqa: N805 - pydantic 1's form
        if newest < values["oldest"]:
            raise ValueError("the newest record is older than the oldest one")
        return newest


@plugin.task
def execute(db: Session, kafka: Producer, log: logging.Logger) -> Decades:
    """Counts what was played, by decade."""
    counted: Dict[str, int] = {}
    for year, plays in db.query(Play.year, func.count(Play.id)).group_by(Play.year).order_by(Play.year):
        label = f"{year // 10 * 10}s"
        counted[label] = counted.get(label, 0) + plays
    oldest, newest = db.query(func.min(Play.year), func.max(Play.year)).one()
    result = Decades(plays=counted, oldest=oldest or 0, newest=newest or 0, libraries=libraries())
    kafka.send(TOPIC, f"Decades: {', '.join(f'{name} {plays}' for name, plays in counted.items())}").result(timeout=10)
    log.info("counted %d decades", len(counted))
    return result


def libraries() -> Dict[str, str]:
    """What this process really runs with."""
    return {"pydantic": PYDANTIC_VERSION, "sqlalchemy": sqlalchemy_version, "protobuf": protobuf.__version__}
