"""The whole host on a machine that lacks layers: a plugin is refused, and runs where its operator accepts less."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_projects import write_plugin

pytestmark = pytest.mark.timeout(180)

PYTHON = Path("/usr/bin/python3")
PLUGIN = """
    import os

    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> dict:
        with open(os.path.join(os.environ["TMPDIR"], "written"), "w") as file:
            file.write("x")
        # Deeper than Python recurses: whoever removes it has to be a match for it.
        os.chdir(os.environ["TMPDIR"])
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        return {"uid": os.getuid(), "prefix": os.environ["VIRTUAL_ENV"]}
"""

HOST = """
import asyncio, json, os, sys
from pathlib import Path

from moorage.app import Host, Settings
from moorage.errors import MoorageError
from moorage.models.execution import ExecutionRequest
from moorage_sandbox import bpf, syscalls
from moorage_sandbox.numbers import NUMBERS

order = json.load(sys.stdin)
program = [*bpf.load(bpf.NUMBER)]
for name, (error, mask) in order["refuse"].items():
    refusal = bpf.answer(bpf.errno_answer(error))
    if mask:
        refusal = (*bpf.load(bpf.low_word(0)), *bpf.when_any_bit(mask, refusal), *bpf.answer(bpf.ALLOW))
    program += bpf.when_equal(NUMBERS[syscalls.MACHINE][name], refusal)
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
syscalls.load_filter(bpf.encode([*program, *bpf.answer(bpf.ALLOW)]))

async def main() -> None:
    settings = Settings.model_validate({
        "state_dir": order["base"] + "/state",
        "run_dir": order["base"] + "/run",
        "installations": {"modest": {"sandbox": order["level"]}},
    })
    async with Host(settings) as host:
        for name in ("modest", "strict"):
            await host.install(Path(order["base"]) / "plugins" / name)
            execution = await host.run(ExecutionRequest(name))
            print(json.dumps({
                "state": execution.state,
                "result": execution.result,
                "level": execution.worker.sandbox_level if execution.worker else "",
                "error": execution.error.message if execution.error else "",
            }), flush=True)

asyncio.run(main())
"""

NEW_NAMESPACES = 0x7E02_0000
NO_NAMESPACES = {"unshare": (errno.EPERM, 0), "clone": (errno.EPERM, NEW_NAMESPACES)}


@pytest.fixture
def base() -> Iterator[Path]:
    """Open to be entered on the whole way, as the levels without a root of their own need it."""
    folder = Path(tempfile.mkdtemp(prefix="mrg-"))
    for place in (folder, folder / "state", folder / "run"):
        place.mkdir(exist_ok=True)
        place.chmod(0o711)
    yield folder
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)  # environments are sealed
    shutil.rmtree(folder)


def run(base: Path, refuse: dict[str, Any], level: str) -> list[dict[str, Any]]:
    version = subprocess.run(
        [PYTHON, "-c", "import platform; print(platform.python_version())"], check=True, **TEXT
    ).stdout.strip()
    for name in ("modest", "strict"):
        project = write_plugin(base / "plugins", PLUGIN, name=name) / "pyproject.toml"
        project.write_text(project.read_text().replace("[tool", f'requires-python = "=={version}"\n\n[tool', 1))
    order = json.dumps({"base": str(base), "refuse": refuse, "level": level})
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or "SSL" in name}
    env = {**kept, "HOME": str(base), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", HOST], input=order, env=env, timeout=150, check=True, **TEXT)
    return [json.loads(line) for line in done.stdout.splitlines()]


TEXT: dict[str, Any] = {"text": True, "capture_output": True}


@pytest.mark.parametrize(
    ("refuse", "level"),
    [
        ({"unshare": (errno.EPERM, 0)}, "full-bwrap"),
        (NO_NAMESPACES, "restricted"),
        ({"seccomp": (errno.ENOSYS, 0)}, "none"),
    ],
    ids=["full-bwrap", "restricted", "none"],
)
def test_one_plugin_runs_at_the_level_that_was_accepted_for_it_alone(base, refuse, level) -> None:
    assert PYTHON.exists(), "no Python that every user may run: scripts/services installs one on Debian"
    assert shutil.which("bwrap"), "bubblewrap is not installed: scripts/services does it"
    modest, strict = run(base, refuse, level)
    assert (modest["state"], modest["level"]) == ("succeeded", level), modest
    assert (modest["result"]["uid"] != 0) or os.geteuid() != 0
    assert (modest["result"]["prefix"] == "/venv") == (level == "full-bwrap")
    assert list((base / "run").rglob("w*")) == [], "what it wrote has gone with it"
    assert strict["state"] == "failed"
    assert f'installations.strict.sandbox = "{level}"' in strict["error"]
