"""Levels of loggers, changed while real workers run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.app.levels import LevelInvalid
from moorage.events.events import ExecutionProgressed
from moorage.models.execution import ExecutionRequest

TIMEOUT_SECONDS = 30

CODE = """
    import asyncio
    import logging
    import time
    from moorage_sdk import Context, Plugin

    plugin = Plugin()

    @plugin.task
    def execute(log: logging.Logger, input: str) -> int:
        for logger in (log, logging.getLogger("probe.parser")):
            logger.debug("%s debug of %s", input, logger.name)
            logger.warning("%s warning of %s", input, logger.name)
        return logging.getLogger().level

    @plugin.task
    async def stuck(ctx: Context) -> int:
        ctx.progress(0.5, "stuck")
        end = time.monotonic() + 20
        while logging.getLogger().level != 10 and time.monotonic() < end:
            time.sleep(0.01)
        return logging.getLogger().level
"""


@pytest.fixture
async def probe(host: Host, tmp_path: Path) -> Host:
    await host.install(write_plugin(tmp_path, CODE))
    return host


async def logged(host: Host, word: str) -> list[str]:
    await host.call("probe", "execute", word)
    lines = await host.logs(installation="probe")
    return [line.message.removeprefix(f"{word} ") for line in lines if line.message.startswith(f"{word} ")]


async def test_levels_count_at_once_and_for_workers_that_come_later(probe: Host) -> None:
    assert await logged(probe, "one") == ["warning of probe", "warning of probe.parser"]
    await probe.log_levels.set("probe", 10, logger="probe.parser", by="dana")
    assert await logged(probe, "two") == ["warning of probe", "debug of probe.parser", "warning of probe.parser"]
    await probe.log_levels.set("probe", 40, by="dana")
    assert await logged(probe, "three") == ["debug of probe.parser", "warning of probe.parser"]
    shown = (await probe.installation("probe")).log_levels
    assert [(each.logger, each.level, each.set_by) for each in shown] == [
        ("", 40, "dana"),
        ("probe.parser", 10, "dana"),
    ]

    await probe.stop("probe")
    assert await logged(probe, "four") == ["debug of probe.parser", "warning of probe.parser"]
    await probe.log_levels.reset("probe", by="dana")
    assert await logged(probe, "five") == ["warning of probe", "warning of probe.parser"]
    assert "probe.parser: DEBUG" in [entry.message for entry in await probe.audit(installation="probe")]


async def test_a_plugin_whose_own_code_is_stuck_is_told_all_the_same(probe: Host) -> None:
    async with probe.events.subscribe(ExecutionProgressed) as events:
        running = asyncio.create_task(probe.run(ExecutionRequest("probe", "stuck")))
        await asyncio.wait_for(events.__anext__(), TIMEOUT_SECONDS)
        await probe.log_levels.set("probe", 10)
    assert (await running).result == 10


async def test_they_outlive_the_host_and_end_in_time(open_host, tmp_path: Path) -> None:
    async with open_host() as host:
        await host.install(write_plugin(tmp_path, CODE))
        await host.log_levels.set("probe", 15, by="dana")
        await host.log_levels.set("probe", 10, logger="probe", duration=timedelta(seconds=0.5), by="dana")
    async with open_host() as host:
        assert await host.call("probe", "execute", "one") == 15
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(await host.log_levels.show("probe")) == 2:
                await asyncio.sleep(0.05)
        assert await logged(host, "two") == ["warning of probe", "warning of probe.parser"]


@pytest.mark.parametrize(
    ("level", "logger", "duration"),
    [(0, "", None), (101, "", None), (10, " x", None), (10, "x" * 1001, None), (10, "", timedelta(days=31))],
)
async def test_what_makes_no_sense_is_refused(probe: Host, level: int, logger: str, duration: timedelta | None) -> None:
    with pytest.raises(LevelInvalid):
        await probe.log_levels.set("probe", level, logger=logger, duration=duration)
    assert await probe.log_levels.show("probe") == ()
