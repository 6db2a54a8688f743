"""Workers cannot keep bytecode of what they import: the host makes it when it installs."""

from __future__ import annotations

import marshal
import stat
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host

LOADED = """
    import sys
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> dict:
        loader = __spec__.loader
        compiled = []
        loader.source_to_code = lambda *given: compiled.append(1) or compile(*given, "exec")
        loader.get_code(__name__)
        return {"cached": __cached__, "compiled": len(compiled), "file": __file__}
"""


@pytest.fixture
async def installed(host: Host, tmp_path: Path) -> Host:
    await host.install(write_plugin(tmp_path, LOADED))
    return host


async def test_a_plugin_is_loaded_from_bytecode(installed: Host, state_dir: Path) -> None:
    told = await installed.call("probe")
    assert told["compiled"] == 0
    (bytecode,) = (state_dir / "code").rglob("*.pyc")
    assert told["cached"] == f"{Path(told['file']).parent}/__pycache__/{bytecode.name}"
    assert marshal.loads(bytecode.read_bytes()[16:]).co_filename == told["file"]  # no path of the host's


async def test_the_code_is_read_only_with_its_bytecode(installed: Host, state_dir: Path) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o222 for path in (state_dir / "code").rglob("*")}
    assert modes == {0}


async def test_without_bytecode_it_would_be_compiled(installed: Host, state_dir: Path) -> None:
    """Else the first test would prove nothing."""
    (bytecode,) = (state_dir / "code").rglob("*.pyc")
    bytecode.parent.chmod(0o755)
    bytecode.unlink()
    assert (await installed.call("probe"))["compiled"] == 1


async def test_the_same_content_is_one_copy_with_its_bytecode(installed: Host, state_dir: Path, tmp_path: Path) -> None:
    await installed.install(tmp_path / "probe")
    assert len(list((state_dir / "code").iterdir())) == 1
    assert (await installed.call("probe"))["compiled"] == 0
