"""Each message is written down once, in the transaction that the host commits before it records the outcome."""

from moorage_sdk import Context, Plugin
from moorage_sdk.messages import KafkaMessage, RedisMessage, ServiceBusMessage
from moorage_sdk.sql import Connection

plugin = Plugin()


@plugin.task
def from_kafka(ctx: Context, db: Connection, message: KafkaMessage) -> None:
    write(ctx, db, message.payload(str))


@plugin.task
def from_redis(ctx: Context, db: Connection, message: RedisMessage) -> None:
    write(ctx, db, message.json()["name"])


@plugin.task
def from_servicebus(ctx: Context, db: Connection, message: ServiceBusMessage) -> None:
    write(ctx, db, message.payload(str))


def write(ctx: Context, db: Connection, name: str) -> None:
    values = (name, ctx.execution, ctx.attempt)
    db.cursor().execute("INSERT INTO entries (name, execution, attempt) VALUES (%s, %s, %s)", values)
