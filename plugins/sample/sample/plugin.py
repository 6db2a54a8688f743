"""Counts users, tells Kafka. Each service is one parameter."""

import logging
from dataclasses import dataclass
from typing import Optional

from jukebox_models import Play, User
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from moorage_sdk import Context, Plugin
from moorage_sdk.config import Config
from moorage_sdk.errors import CapabilityMissing
from moorage_sdk.kafka import Producer

TOPIC = "plugin-topic"

plugin = Plugin()


@dataclass
class Report:
    """What one run found."""

    users: int
    #: None when the installation may not read the plays.
    plays: Optional[int]
    #: Where Kafka put the message.
    partition: int
    offset: int


@plugin.on_load
def loaded(log: logging.Logger) -> None:
    log.info("sample is loaded")


@plugin.task
def execute(ctx: Context, db: Session, kafka: Producer, config: Config, log: logging.Logger) -> Report:
    """Counts the application's users and publishes the number."""
    users = db.scalar(select(func.count(User.id))) or 0
    ctx.progress(0.5, "counted")
    delivery = kafka.send(TOPIC, f"User count: {users}").result(timeout=10)
    log.info("%s! There are %d users.", config.get("greeting", "Hello"), users, extra={"users": users})
    return Report(users, _plays(db, log), delivery.partition, delivery.offset)


def _plays(db: Session, log: logging.Logger) -> Optional[int]:
    """Reading the plays is an optional capability: without it the report is shorter, and nothing fails."""
    try:
        return db.scalar(select(func.count(Play.id)))
    except CapabilityMissing as missing:
        log.info("plays are not counted: %s", missing.remedy)
        return None


@plugin.health
def health() -> bool:
    return True
