"""Hosts that die in the middle of a reload: the next one finds old code and old data, whole."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.app.wiring import DataLost
from moorage.config.settings import Settings
from moorage.models.execution import ExecutionRequest, ExecutionState

TIMEOUT_SECONDS = 40

#: 2.0.0 spoils the data before anything else, and then takes its time.
CODE = """
    import time
    from pathlib import Path
    from moorage_sdk import Plugin

    VERSION = "1.0.0"
    plugin = Plugin()

    if VERSION != "1.0.0":
        Path("/data/lines").write_text("spoiled")
        Path("/data/more").mkdir()

    @plugin.on_load
    def load() -> None:
        if VERSION != "1.0.0":
            Path("/data/began").touch()
            time.sleep(DELAY)

    @plugin.task
    def execute(input: str) -> list:
        with open("/data/lines", "a") as file:
            file.write(input + "\\n")
        return [VERSION, *Path("/data/lines").read_text().split()]
"""

RELOADER = """
import asyncio, sys
from pathlib import Path
from moorage.app import Host
from moorage.config.settings import Settings

async def main() -> None:
    async with Host(Settings.model_validate_json(sys.argv[1])) as host:
        await host.start("probe")
        print("up", flush=True)
        await host.reload("probe", progress=lambda sentence: print(sentence, flush=True))
        print("done", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def project(folder: Path, version: str = "1.0.0", delay: float = 60) -> Path:
    code = CODE.replace('VERSION = "1.0.0"', f'VERSION = "{version}"').replace("DELAY", str(delay))
    path = write_plugin(folder, code, extra="private_data = true")
    manifest = path / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace('version = "1.0.0"', f'version = "{version}"'))
    return path


async def killed(settings: Settings, word: str, data: Path | None = None) -> None:
    """A host that reloads, and is killed when it has said so much; or when the new version has touched the data."""
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RELOADER, settings.model_dump_json(), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert host.stdout is not None
            while word not in (line := (await host.stdout.readline()).decode()):
                assert line, "the host ended early; its standard error says why"
            while data is not None and not (data / "began").exists():
                await asyncio.sleep(0.005)
    finally:
        host.kill()
        await host.wait()


MOMENTS = {
    "while it waits": ("new executions wait", False),
    "while the old one stops": ("stopping the old version", False),
    "while data is copied": ("copying the private data", False),
    "while the new one starts": ("starting 2.0.0", False),
    "when the new one has spoiled the data": ("starting 2.0.0", True),
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_the_next_host_finds_the_old_version_and_its_data(
    settings: Settings, tmp_path: Path, moment: str
) -> None:
    async with Host(settings) as host:
        await host.install(project(tmp_path))
        assert await host.call("probe", input="one") == ["1.0.0", "one"]
    project(tmp_path, "2.0.0")
    word, spoiled = MOMENTS[moment]
    data = settings.state_dir / "data" / "probe"

    await killed(settings, word, data if spoiled else None)

    if spoiled:
        assert (data / "more").exists()
    async with Host(settings) as host:
        assert not (data / "more").exists()
        assert await host.call("probe", input="two") == ["1.0.0", "one", "two"]
        assert (await host.installation("probe")).installation.manifest.version == "1.0.0"
        # And the reload can be done again.
        project(tmp_path, "2.0.1", 0)
        await host.reload("probe")
        assert (await host.call("probe", input="three"))[0] == "2.0.1"


async def test_on_data_that_cannot_be_brought_back_nothing_runs_until_it_can(
    settings: Settings, tmp_path: Path
) -> None:
    async with Host(settings) as host:
        await host.install(project(tmp_path))
        await host.call("probe", input="one")
    project(tmp_path, "2.0.0")
    await killed(settings, "starting 2.0.0", settings.state_dir / "data" / "probe")
    (copy,) = (path for path in (settings.state_dir / "snapshots" / "probe").iterdir() if path.is_dir())
    copy.rename(tmp_path / copy.name)
    async with Host(settings) as host:
        refused = await host.run(ExecutionRequest("probe", "execute", "two"))
        assert refused.state is ExecutionState.REJECTED
        with pytest.raises(DataLost, match="stays held"):
            await host.release("probe")
        assert (await host.installation("probe")).state == "held"
        (tmp_path / copy.name).rename(copy)
        await host.release("probe")
        assert await host.call("probe", input="two") == ["1.0.0", "one", "two"]
    # What has been written since is not taken back by the next start.
    async with Host(settings) as host:
        assert await host.call("probe", input="three") == ["1.0.0", "one", "two", "three"]


async def test_what_was_taken_stays_taken(settings: Settings, tmp_path: Path) -> None:
    """The control: a host that dies after the reload leaves the new version and what it did to the data."""
    async with Host(settings) as host:
        await host.install(project(tmp_path))
        await host.call("probe", input="one")
    project(tmp_path, "2.0.0", 0)
    await killed(settings, "done")
    with sqlite3.connect(f"file:{settings.store_path}?mode=ro", uri=True) as store:
        assert store.execute("SELECT version, loaded_version FROM placements").fetchone() == ("2.0.0", "2.0.0")
    store.close()
    (settings.state_dir / "data" / "probe" / "more").rmdir()
    async with Host(settings) as host:
        assert (await host.call("probe", input="two"))[0] == "2.0.0"
