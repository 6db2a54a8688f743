"""The services that every host offers, made from its settings. A new one is a field here, and made in ``wiring``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from moorage.broker.services.base import Service
from moorage.broker.services.config import ConfigService
from moorage.broker.services.events import EventsService
from moorage.broker.services.execution import ExecutionService
from moorage.broker.services.http import HttpService
from moorage.broker.services.kafka import KafkaService
from moorage.broker.services.log import LogService
from moorage.broker.services.redis import RedisService
from moorage.broker.services.secrets import SecretsService
from moorage.broker.services.servicebus import ServiceBusService
from moorage.broker.services.sql import SqlService
from moorage.broker.services.storage import StorageService


@dataclass(frozen=True)
class Services:
    """In the order in which they open."""

    config: ConfigService
    log: LogService
    execution: ExecutionService
    events: EventsService
    #: Before those that put secrets into what they send.
    secrets: SecretsService
    storage: StorageService
    sql: SqlService
    http: HttpService
    kafka: KafkaService
    redis: RedisService
    servicebus: ServiceBusService

    def __iter__(self) -> Iterator[Service]:
        return (getattr(self, field.name) for field in fields(self))
