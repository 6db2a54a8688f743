"""Counts users, tells Kafka. Each service is one parameter; ``services`` shows what each does."""

import logging
from dataclasses import dataclass
from typing import Dict, Optional

import httpx
from jukebox_models import Play, User
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from moorage_sdk import Context, Plugin
from moorage_sdk.config import Config
from moorage_sdk.errors import CapabilityMissing
from moorage_sdk.events import Event, Events
from moorage_sdk.kafka import Producer
from moorage_sdk.secrets import Secrets
from moorage_sdk.servicebus import ServiceBusClient
from moorage_sdk.storage import Storage
from sample import showcase
from sample.showcase import TOPIC, Shown

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


@plugin.task
def services(
    log: logging.Logger,
    config: Config,
    db: Session,
    kafka: Producer,
    storage: Storage,
    redis: Optional[Redis] = None,
    bus: Optional[ServiceBusClient] = None,
    http: Optional[httpx.Client] = None,
    events: Optional[Events] = None,
    secrets: Optional[Secrets] = None,
) -> Dict[str, Shown]:
    """Uses every service and shows what came of it; those that were not granted are left out."""
    shown = {
        "config": showcase.show_config(config),
        "sql": showcase.show_sql(db),
        "kafka": showcase.show_kafka(kafka),
        "storage": showcase.show_storage(storage),
    }
    if redis is not None:
        shown["redis"] = showcase.show_redis(redis)
    if bus is not None:
        shown["servicebus"] = showcase.show_servicebus(bus)
    if http is not None:
        shown["http"] = showcase.show_http(http)
    if events is not None:
        shown["events"] = showcase.show_events(events)
    if secrets is not None:
        shown["secrets"] = showcase.show_secrets(secrets)
    log.info("%d services were shown", len(shown), extra={"services": sorted(shown)})
    return shown


@plugin.reply_to("sample.question")
def question(event: Event) -> int:
    """Asked by ``services``, or by whoever may."""
    number: int = event.data["number"]
    return number + 1


@plugin.health
def health() -> bool:
    return True
