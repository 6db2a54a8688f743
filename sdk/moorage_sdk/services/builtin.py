"""The built-in faces. A new one gets its line here."""

from __future__ import annotations

from typing import Tuple

from moorage_sdk.services.base import Face
from moorage_sdk.services.config import ConfigFace
from moorage_sdk.services.events import EventsFace
from moorage_sdk.services.http.face import HttpxFace, RequestsFace
from moorage_sdk.services.kafka import KafkaFace
from moorage_sdk.services.log import LogFace
from moorage_sdk.services.redis.face import RedisFace
from moorage_sdk.services.secrets import SecretsFace
from moorage_sdk.services.servicebus.face import ServiceBusFace
from moorage_sdk.services.sql.face import SqlFace
from moorage_sdk.services.sqlalchemy.face import ScopedSessionFace, SessionFactoryFace
from moorage_sdk.services.storage import StorageFace

FACES: Tuple[Face, ...] = (
    ConfigFace(),
    EventsFace(),
    HttpxFace(),
    KafkaFace(),
    LogFace(),
    RedisFace(),
    RequestsFace(),
    SecretsFace(),
    StorageFace(),
    ServiceBusFace(),
    SqlFace(),
    ScopedSessionFace(),
    SessionFactoryFace(),
)
