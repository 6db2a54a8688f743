"""What is installed is what was approved, and what a dependency brings stays the plugin's own affair."""

from __future__ import annotations

import os
import shutil
import threading
import zipfile
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.settings import EnvironmentSettings, Settings
from moorage.packages.source import SourceRefused

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

ANSWERS = """
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> str:
        return "{answer}"
"""

LOOKS = """
    import sys
    from moorage_sdk import Plugin
    import grpc, moorage_proto, moorage_sdk
    import alpha

    plugin = Plugin()

    @plugin.task
    def execute() -> list[str]:
        return [alpha.value, *(sys.modules[name].__file__ for name in ("moorage_sdk", "moorage_proto", "grpc"))]
"""


async def test_what_was_approved_is_what_runs(host: Host, tmp_path: Path) -> None:
    project = write_plugin(tmp_path, ANSWERS.format(answer="approved"))
    await host.install(project)
    (project / "probe.py").write_text((project / "probe.py").read_text().replace("approved", "swapped"))

    assert await host.call("probe") == "approved"
    await host.stop("probe")
    assert await host.call("probe") == "approved"
    # The control: installed again, the other content does run.
    await host.install(project)
    await host.stop("probe")
    assert await host.call("probe") == "swapped"


async def test_the_copy_that_runs_cannot_be_written_by_what_runs_it(host: Host, tmp_path: Path) -> None:
    code = """
        from pathlib import Path
        from moorage_sdk import Plugin

        plugin = Plugin()

        @plugin.task
        def execute() -> str:
            try:
                Path(__file__).write_text("hostile")
            except OSError as error:
                return type(error).__name__
            return "written"
    """
    await host.install(write_plugin(tmp_path, code))
    assert await host.call("probe") in {"OSError", "PermissionError"}


@pytest.mark.timeout(60)
async def test_a_pipe_in_a_plugins_folder_holds_up_nobody(host: Host, tmp_path: Path) -> None:
    project = write_plugin(tmp_path, ANSWERS.format(answer="well"))
    os.mkfifo(project / "pipe")
    with pytest.raises(SourceRefused, match="pipe is a device, pipe or socket; a plugin is made of files and folders"):
        await host.install(project)
    # The control: who simply opens it waits for ever.
    opener = threading.Thread(target=lambda: (project / "pipe").open("rb").close(), daemon=True)
    opener.start()
    opener.join(0.2)
    assert opener.is_alive()
    os.close(os.open(project / "pipe", os.O_WRONLY))
    opener.join(10)
    (project / "pipe").unlink()
    await host.install(project)
    assert await host.call("probe") == "well"


async def test_a_link_to_a_secret_is_not_followed_into_the_copy(host: Host, settings: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("host's own")
    project = write_plugin(tmp_path, ANSWERS.format(answer="well"))
    (project / "data.txt").symlink_to(secret)
    with pytest.raises(SourceRefused, match=r"data\.txt is a link to an absolute path"):
        await host.install(project)
    assert not list((settings.state_dir / "code").rglob("data.txt"))
    # The control: an ordinary copy holds the secret.
    shutil.copytree(project, tmp_path / "copy")
    assert (tmp_path / "copy/data.txt").read_text() == "host's own"


def write_wheel(wheelhouse: Path) -> None:
    """Brings modules that workers have from the host, under the name of another package."""
    info = "alpha-1.0.dist-info"
    hostile = "raise SystemExit('hostile')\n"
    files = {
        "alpha.py": "value = 'mine'\n",
        "moorage_sdk/__init__.py": hostile,
        "moorage_sdk/worker/__init__.py": hostile,
        "moorage_proto/__init__.py": hostile,
        "grpc/__init__.py": hostile,
        "google/protobuf/__init__.py": hostile,
        "sitecustomize.py": hostile,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    wheelhouse.mkdir()
    with zipfile.ZipFile(wheelhouse / "alpha-1.0-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


async def test_a_dependency_that_brings_the_sdks_modules_changes_nothing_and_nobody(open_host, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheelhouse")
    async with open_host(environments=EnvironmentSettings(wheelhouse=(tmp_path / "wheelhouse",))) as host:
        await host.install(write_plugin(tmp_path, LOOKS, dependencies=["alpha"]))
        await host.install(write_plugin(tmp_path, ANSWERS.format(answer="well"), name="bystander"))

        value, *places = await host.call("probe")

        assert value == "mine"
        assert not [place for place in places if place.startswith("/venv")]
        assert await host.call("bystander") == "well"
        (folder,) = (tmp_path / "state/environments").glob("*/venv/lib/python3.*/site-packages/moorage_sdk")
        assert (folder / "__init__.py").exists(), "the control: it is installed, and would be imported from there"
