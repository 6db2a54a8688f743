"""Whatever is wrong with a plugin is said in a sentence, and never stops the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.settings import PluginSettings
from moorage.errors import MoorageError
from moorage.models.execution import ExecutionRequest, ExecutionState

GOOD = """
    from moorage_sdk import Plugin
    plugin = Plugin()

    @plugin.task
    def execute() -> str:
        return "done"
"""


async def loaded(open_host, folder: Path):
    async with open_host(plugins=PluginSettings(folders=(folder,))) as host:
        await host.load()
        broken = {problem.path.name: problem.problem for problem in await host.broken()}
        execution = await host.run(ExecutionRequest("good"))
        return broken, execution


MANIFESTS = {
    "malformed": ("[project\nname = 'x'", ["pyproject.toml:1:"]),
    "keyless": ("[project]\nname = 'keyless'\nversion = '1'\n[tool.moorage]\ntags = []\n", ["plugin"]),
    "unknown": (
        "[project]\nname = 'unknown'\nversion = '1'\n[tool.moorage]\nplugin = 'a:b'\ntgas = []\n",
        ["tgas", "tags", "pyproject.toml:6:"],
    ),
    "unresolvable": (
        "[project]\nname = 'unresolvable'\nversion = '1'\ndependencies = ['moorage-no-such-package-1729']\n"
        "[tool.moorage]\nplugin = 'a:b'\n",
        ["moorage-no-such-package-1729"],
    ),
}


async def test_broken_plugins_are_reported_and_the_others_load(open_host, tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    write_plugin(folder, GOOD, name="good")
    for name, (manifest, _) in MANIFESTS.items():
        (folder / name).mkdir()
        (folder / name / "pyproject.toml").write_text(manifest)
        (folder / name / "a.py").write_text("b = None\n")

    broken, execution = await loaded(open_host, folder)

    assert execution.state is ExecutionState.SUCCEEDED
    for name, (_, expected) in MANIFESTS.items():
        for text in expected:
            assert text in broken[name], name


async def test_a_duplicate_name_is_refused_naming_both_folders(open_host, tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    write_plugin(folder, GOOD, name="good")
    write_plugin(folder / "a", GOOD, name="twin")
    write_plugin(folder / "b", GOOD, name="twin")

    broken, execution = await loaded(open_host, folder)

    assert execution.state is ExecutionState.SUCCEEDED
    said = " ".join(broken.values())
    assert str(folder / "a" / "twin") in said
    assert str(folder / "b" / "twin") in said


async def test_two_plugins_in_one_folder_are_refused(open_host, tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    write_plugin(folder, GOOD, name="good")
    outer = write_plugin(folder, GOOD, name="outer")
    write_plugin(outer, GOOD, name="inner")

    broken, execution = await loaded(open_host, folder)

    assert execution.state is ExecutionState.SUCCEEDED
    assert "split" in broken["outer"].lower()


STARTS = {
    "a wrong entry point": ("", "", ["probe", "plugin"]),
    "an import error": ("import no_such_module_here", "", ["no_such_module_here"]),
    "a failing on_load": (
        """
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.on_load
        def loaded() -> None:
            raise ValueError("no licence key")
        """,
        "",
        ["no licence key"],
    ),
    "an annotation that nothing can inject": (
        """
        import socket
        from moorage_sdk import Plugin
        plugin = Plugin()

        @plugin.task
        def execute(wire: socket.socket) -> None: ...
        """,
        "",
        ["execute", "wire", "socket"],
    ),
    "never ready": (
        """
        import threading
        threading.Event().wait()
        """,
        '[tool.moorage.limits]\nstart_timeout = "1 s"',
        ["1 s"],
    ),
    "an early exit": ("import os\nos._exit(3)", "", ["3"]),
}


@pytest.mark.parametrize("case", STARTS)
async def test_a_start_that_fails_says_why(host: Host, tmp_path: Path, case: str) -> None:
    code, extra, expected = STARTS[case]
    project = write_plugin(tmp_path, code, extra=extra)
    await host.install(project)

    with pytest.raises(MoorageError) as failure:
        await host.start("probe")

    for text in expected:
        assert text in str(failure.value)
    execution = await host.run(ExecutionRequest("probe"))
    assert execution.state is not ExecutionState.SUCCEEDED
    assert (await host.installation("probe")).incarnations[0].verdict is not None


async def test_a_second_folder_cannot_take_a_name(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path / "one", GOOD, name="good"))
    other = write_plugin(tmp_path / "two", GOOD, name="good")

    with pytest.raises(MoorageError, match="--name"):
        await host.install(other)

    assert (await host.install(other, name="good-2")).id == "good-2"
    assert await host.call("good-2") == "done"


async def test_a_verb_that_no_service_knows_is_named_with_the_nearest(host: Host, tmp_path: Path) -> None:
    said: list[str] = []
    project = write_plugin(tmp_path, GOOD, name="good", optional=["kafka.prodce:topic", "kafka.produce:topic"])

    await host.install(project, progress=said.append)

    (warning,) = [sentence for sentence in said if "no service" in sentence]
    assert "kafka.prodce:topic" in warning
    assert "did you mean kafka.produce?" in warning
