"""A host that is killed, and another one that shares its store."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.models.execution import ExecutionState

from .test_two_hosts import server, settings_of

__all__ = ["server", "settings_of"]

NAPS = """
    import asyncio
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    async def nap() -> None:
        await asyncio.sleep(0.05)
"""

DYING = """
import asyncio, sys
from pathlib import Path
from moorage.app import Host
from moorage.config.settings import Settings
from moorage.models.execution import ExecutionRequest

async def main():
    async with Host(Settings.load(sys.argv[1])) as host:
        await host.install(Path(sys.argv[2]))
        for _ in range(20):
            print((await host.submit(ExecutionRequest("probe", "nap"))).id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_host_that_is_killed_leaves_its_work_to_the_other_within_its_lease(
    settings_of: Callable[[str], Settings], tmp_path: Path
) -> None:
    """What had not begun runs there; what ran is abandoned, as nothing says that it may run twice."""
    project = write_plugin(tmp_path / "plugins", NAPS, extra="[tool.moorage.limits]\nconcurrency = 1")
    settings = settings_of("one")
    (tmp_path / "one.toml").write_text(
        f'''
        state_dir = "{settings.state_dir}"
        run_dir = "{settings.run_dir}"
        store.url = "{settings.store.url.get_secret_value() if settings.store.url else ""}"
        orchestrator.lease = 1
        '''
    )
    async with Host(settings_of("two")) as two, asyncio.timeout(50):
        await two.install(project)
        await two.start("probe")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", DYING, str(tmp_path / "one.toml"), str(project)), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        ids = [(await process.stdout.readline()).decode().strip() for _ in range(20)]
        process.kill()
        await process.wait()
        began = asyncio.get_running_loop().time()
        while {(await two.execution(each)).host for each in ids[2:]} != {two._parts.host}:
            await asyncio.sleep(0.02)
        took = asyncio.get_running_loop().time() - began
        outcomes = [(await two.wait(each)).state for each in ids]
    assert took < 3
    assert set(outcomes) <= {ExecutionState.SUCCEEDED, ExecutionState.ABANDONED}
    assert outcomes.count(ExecutionState.ABANDONED) <= 1
