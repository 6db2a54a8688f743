"""The fakes that every test gets. A new service gets its line here."""

from __future__ import annotations

from typing import Callable, Tuple

from moorage_sdk.testing.base import Fake
from moorage_sdk.testing.config import FakeConfig
from moorage_sdk.testing.events import FakeEvents
from moorage_sdk.testing.execution import FakeExecution
from moorage_sdk.testing.http import FakeHttp
from moorage_sdk.testing.kafka import FakeKafka
from moorage_sdk.testing.log import FakeLog
from moorage_sdk.testing.redis import FakeRedis
from moorage_sdk.testing.secrets import FakeSecrets
from moorage_sdk.testing.servicebus import FakeServiceBus
from moorage_sdk.testing.sql import FakeSql
from moorage_sdk.testing.storage import FakeStorage

FAKES: Tuple[Callable[[], Fake], ...] = (
    FakeConfig,
    FakeEvents,
    FakeExecution,
    FakeHttp,
    FakeKafka,
    FakeLog,
    FakeRedis,
    FakeSecrets,
    FakeStorage,
    FakeServiceBus,
    FakeSql,
)
