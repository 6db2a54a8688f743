"""plugins/sample on a real host: every service that needs no server of its own, in one task."""

from __future__ import annotations

from pathlib import Path

import pytest
from virtualenvs import ROOT, build_wheels

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.models.execution import ExecutionRequest, ExecutionState

# It may have an environment to build.
pytestmark = pytest.mark.timeout(400)

RIGHTS = (
    "sql.read:users",
    "kafka.produce:plugin-topic",
    "config.read:**",
    "redis.read:sample:*",
    "redis.write:sample:*",
    "servicebus.send:sample",
    "servicebus.receive:sample",
    "events.publish:sample.*",
    "events.request:sample.question",
    "events.reply:sample.question",
    "secrets.read:SAMPLE_SESSION",
    "secrets.write:SAMPLE_SESSION",
)

#: Its rights to HTTP are left out: tests reach no server but their own.
SHOWN = {
    "config": {"greeting": "Moin"},
    "sql": {"users": 2},
    "kafka": {"offsets": [0, 1]},
    "storage": {"text": "Moin", "has_room": True},
    "redis": {"runs": 1},
    "servicebus": {"received": ["Moin"]},
    "events": {"answer": 21},
    "secrets": {"known": False, "names": ["SAMPLE_SESSION"]},
}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    wheels = build_wheels([ROOT / "plugins" / "jukebox-models"], tmp_path / "wheels")
    return settings.model_copy(
        update={"environments": settings.environments.model_copy(update={"wheelhouse": (wheels,)})}
    )


async def test_it_shows_what_every_service_does(host: Host) -> None:
    await host.install(ROOT / "plugins" / "sample", config={"greeting": "Moin"}, grant=RIGHTS)

    execution = await host.run(ExecutionRequest("sample", "services"))

    assert execution.state is ExecutionState.SUCCEEDED, execution.error
    assert execution.result == SHOWN
    again = await host.call("sample", "services")
    assert again["redis"] == {"runs": 2}
    assert again["secrets"]["known"] is True
