import logging
from dataclasses import dataclass
from typing import Optional

import pytest

from moorage_sdk import CapabilityMissing, Context, Plugin
from moorage_sdk.config import Config
from moorage_sdk.kafka import Producer

plugin = Plugin()


@dataclass
class Report:
    users: int


@plugin.task
def execute(ctx: Context, log: logging.Logger, config: Config, kafka: Optional[Producer] = None) -> Report:
    """Counts."""
    users = 3
    if kafka is not None:
        kafka.send("plugin-topic", f"{config['greeting']}: {users}").result(timeout=5)
    log.info("counted", extra={"users": users})
    ctx.progress(1.0, "sent")
    return Report(users)


@plugin.task
async def leak(kafka: Producer) -> None:
    kafka.send("other", "x")


def test_runs(kit):
    kit.config["greeting"] = "User count"
    run = kit.run(execute)
    assert run.result == Report(3)
    assert kit.kafka.values("plugin-topic") == [b"User count: 3"]
    assert run.progress == ((1.0, "sent"),)
    (line,) = run.logs
    assert (line.level, line.logger, line.message, line.fields, line.execution) == (
        "INFO",
        "churn",
        "counted",
        {"users": 3},
        "e-1",
    )


def test_leak(kit):
    run = kit.run(leak)
    assert isinstance(run.error, CapabilityMissing)
    with pytest.raises(CapabilityMissing):
        assert run.result
    kit.grant("kafka.produce:other")
    assert kit.run(leak).result is None


def test_optional(kit):
    kit.deny("kafka.produce:plugin-topic")
    assert kit.run(execute, config={"greeting": "x"}).result == Report(3)
    assert kit.kafka.values("plugin-topic") == []


async def test_async(kit):
    kit.grant("kafka.produce:other")
    assert (await kit.run_async(leak)).result is None
