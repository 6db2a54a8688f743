"""One function for each service that a plugin can be given: what it does with it, as a small dict."""

from __future__ import annotations

import uuid
from typing import Any, Dict

import httpx
from jukebox_models import User
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from moorage_sdk.config import Config
from moorage_sdk.events import Events
from moorage_sdk.http import secret
from moorage_sdk.kafka import Producer
from moorage_sdk.secrets import Secrets
from moorage_sdk.servicebus import ServiceBusClient, ServiceBusMessage
from moorage_sdk.storage import Storage

TOPIC = "plugin-topic"
QUEUE = "sample"
URL = "https://api.example.com/v1/greeting"

Shown = Dict[str, Any]


def show_config(config: Config) -> Shown:
    """Settings, as the operator has set them; with the manifest's defaults."""
    return {"greeting": config["greeting"]}


def show_sql(db: Session) -> Shown:
    """A SQLAlchemy session in the execution's own transaction."""
    return {"users": db.scalar(select(func.count(User.id))) or 0}


def show_kafka(kafka: Producer) -> Shown:
    """Sent and acknowledged, one by one or as a batch."""
    deliveries = [kafka.send(TOPIC, text, key="sample") for text in ("one", "two")]
    receipts = [delivery.result(timeout=10) for delivery in deliveries]
    return {"offsets": [receipt.offset for receipt in receipts]}


def show_storage(storage: Storage) -> Shown:
    """Files of the plugin's own, which outlive its workers."""
    (storage / "greeting.txt").write_text("Moin")
    usage = storage.usage()
    return {"text": (storage / "greeting.txt").read_text(), "has_room": usage.free_bytes > 0}


def show_redis(redis: Redis) -> Shown:
    """The real redis-py: a transaction of two commands."""
    with redis.pipeline() as pipeline:
        pipeline.incr("sample:runs")
        pipeline.expire("sample:runs", 3600)
        runs, _ = pipeline.execute()
    return {"runs": runs}


def show_servicebus(bus: ServiceBusClient) -> Shown:
    """Sent to a queue, received from it, and settled."""
    with bus.get_queue_sender(QUEUE) as sender:
        sender.send_messages(ServiceBusMessage("Moin", subject="greeting"))
    with bus.get_queue_receiver(QUEUE) as receiver:
        messages = receiver.receive_messages(max_wait_time=5)
        for message in messages:
            receiver.complete_message(message)
    return {"received": [str(message) for message in messages]}


def show_http(http: httpx.Client) -> Shown:
    """The real httpx, with its own errors; the host puts the key into the header, and this plugin never has it."""
    try:
        answer = http.get(URL, headers={"Authorization": f"Bearer {secret('SAMPLE_API_KEY')}"})
    except httpx.TransportError as error:
        return {"error": str(error)}
    return {"status": answer.status_code, "greeting": answer.json()["greeting"]}


def show_events(events: Events) -> Shown:
    """Told to whoever listens, and asked of the one who replies."""
    events.publish("sample.shown", {"by": "sample"})
    return {"answer": events.request("sample.question", {"number": 20}, timeout=5)}


def show_secrets(secrets: Secrets) -> Shown:
    """What the plugin obtained itself, and finds again next time. A secret shows itself nowhere."""
    known = secrets.get("SAMPLE_SESSION")
    if known is None:
        secrets.set("SAMPLE_SESSION", uuid.uuid4().hex)
    return {"known": known is not None, "names": secrets.names()}
