"""Learn mode: a plugin may do everything while it is developed, and its manifest is printed; nowhere else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
import tomllib
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.app.host import LearningRefused
from moorage.config.settings import Settings
from moorage.errors import ExitCode
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage_proto.learning import Learnt, lesson

WAIT_SECONDS = 60

CURIOUS = """
    from typing import Optional

    from moorage_sdk import Plugin
    from moorage_sdk.kafka import Producer
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    @plugin.task
    def execute(db: Connection, kafka: Optional[Producer] = None) -> str:
        cursor = db.cursor()
        cursor.execute("CREATE TABLE plays (id INTEGER PRIMARY KEY, track TEXT)")
        cursor.execute("INSERT INTO plays (track) VALUES ('Clocks')")
        cursor.execute("SELECT track FROM plays")
        (track,) = cursor.fetchone()
        if kafka is not None:
            kafka.send("tracks", track).result(timeout=10)
        return track
"""


class NoTerminal:
    """A developer who is not there."""

    def write(self, installation: str, text: str) -> None: ...

    async def read_line(self, installation: str, prompt: str) -> str | None:
        return None


def development(settings: Settings) -> Settings:
    return settings.model_copy(update={"sandbox": settings.sandbox.model_copy(update={"development": True})})


async def test_dev_prints_the_smallest_manifest_that_the_plugin_then_runs_with(
    settings: Settings, tmp_path: Path, state_dir: Path, run_dir: Path
) -> None:
    folder = write_plugin(tmp_path, CURIOUS, optional=["kafka.produce:tracks", "config.read:**"])
    config = tmp_path / "moorage.toml"
    config.write_text(f'state_dir = "{state_dir}"\n')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moorage", "dev", str(folder), "--run", "execute", "--learn", "--config", str(config)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "XDG_RUNTIME_DIR": str(run_dir)},
    )
    assert process.stdout is not None
    output = b""
    async with asyncio.timeout(WAIT_SECONDS):
        while b"succeeded" not in output:
            part = await process.stdout.read(2**16)
            assert part, output.decode()
            output += part
        process.send_signal(signal.SIGINT)
        output += await process.stdout.read()
        assert await process.wait() == 0

    text = output.decode()
    lines = text[text.index("required = [") :].removesuffix("Stopped.\n")
    learnt = tomllib.loads(lines)
    assert [entry["allow"] for entry in learnt["required"]] == [
        "sql.define:plays",
        "sql.read:plays(track)",
        "sql.write:plays",
    ]
    assert [entry["allow"] for entry in learnt["optional"]] == ["kafka.produce:tracks"]
    assert learnt["optional"][0]["because"] == "a test needs it"
    assert "# asked for, and not used: config.read:**" in lines

    taught = tmp_path / "taught"
    required = [entry["allow"] for entry in learnt["required"]]
    learnt_project = write_plugin(taught, CURIOUS, required=required, optional=["kafka.produce:tracks"])
    async with Host(settings) as host, asyncio.timeout(WAIT_SECONDS):
        await host.install(learnt_project, grant=[*required, "kafka.produce:tracks"])
        assert await host.call("probe") == "Clocks"


async def test_without_learning_the_same_plugin_is_refused(settings: Settings, tmp_path: Path) -> None:
    settings = development(settings)
    async with Host(settings, console=NoTerminal()) as host, asyncio.timeout(WAIT_SECONDS):
        await host.install(write_plugin(tmp_path, CURIOUS))
        execution = await host.run(ExecutionRequest("probe"))
    assert execution.state is ExecutionState.FAILED
    assert execution.error is not None
    assert "sql." in execution.error.remedy


async def test_what_is_denied_stays_denied_while_learning(settings: Settings, tmp_path: Path) -> None:
    learnt = Learnt()
    async with Host(development(settings), console=NoTerminal(), learnt=learnt) as host:
        async with asyncio.timeout(WAIT_SECONDS):
            await host.install(write_plugin(tmp_path, CURIOUS))
            await host.grants.deny("probe", ["sql.define:**"])
            execution = await host.run(ExecutionRequest("probe"))
    assert execution.state is ExecutionState.FAILED
    assert not any(need.verb == "sql.define" for need in learnt.needs)


LISTENER = """
    from moorage_sdk import Plugin
    from moorage_sdk.events import Event

    plugin = Plugin()

    @plugin.reply_to("number.*")
    def double(event: Event) -> int:
        return event.data * 2
"""


async def test_what_handlers_are_called_with_is_learnt_too(settings: Settings, tmp_path: Path) -> None:
    learnt = Learnt()
    async with Host(development(settings), console=NoTerminal(), learnt=learnt) as host:
        async with asyncio.timeout(WAIT_SECONDS):
            await host.install(write_plugin(tmp_path, LISTENER))
            await host.start("probe")
            assert (await host.bus.request("number.double", 4)).data == 8
    assert lesson(learnt.needs).lines[1:-1] == ['  { allow = "events.reply:number.*", because = "..." },']


@pytest.mark.parametrize(("is_development", "has_developer"), [(False, True), (True, False), (False, False)])
def test_no_other_host_learns(settings: Settings, is_development: bool, has_developer: bool) -> None:
    chosen = development(settings) if is_development else settings
    with pytest.raises(LearningRefused, match="moorage dev --learn") as refused:
        Host(chosen, console=NoTerminal() if has_developer else None, learnt=Learnt())
    assert refused.value.exit_code == ExitCode.CONFIG
