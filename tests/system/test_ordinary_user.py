"""The whole host as an ordinary user: no privilege, no group, an empty home, and the distribution's own Python."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from plugin_projects import write_plugin
from virtualenvs import ROOT, build_wheels, uv

pytestmark = pytest.mark.timeout(180)

#: No user of this machine, and none that another test becomes.
UID = 62_014

PYTHONS = (Path("/usr/bin/python3"), Path("/usr/local/bin/python3"), Path(sys.base_prefix, "bin", "python3"))
DISTRIBUTIONS = [ROOT / name for name in ("proto", "sdk", "sandbox", "host")]

READY_TIMEOUT_SECONDS = 90
GONE_TIMEOUT_SECONDS = 1

PLUGIN = """
    from packaging.version import Version

    from moorage_sdk import Plugin
    from moorage_sdk.kafka import Producer
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    @plugin.task
    def execute(db: Connection, kafka: Producer) -> dict:
        cursor = db.cursor()
        cursor.execute("INSERT INTO users (name) VALUES ('Grace')")
        cursor.execute("SELECT count(*) FROM users")
        (users,) = cursor.fetchone()
        delivery = kafka.send("plugin-topic", f"User count: {users}").result(timeout=10)
        return {"users": users, "offset": delivery.offset, "newer": Version("10.0") > Version("9.1")}
"""
RIGHTS = ["sql.read:users", "sql.write:users", "kafka.produce:plugin-topic"]

HOST = """
import asyncio, json, os, sqlite3
from pathlib import Path

import moorage
from moorage.app import Host, Settings
from moorage.models.execution import ExecutionRequest

async def main() -> None:
    with sqlite3.connect("application.db") as connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        connection.execute("INSERT INTO users (name) VALUES ('Ada')")
    connection.close()
    settings = Settings.model_validate({
        "state_dir": Path.home() / "state",
        "run_dir": Path.home() / "run",
        "sql": {"main": {"url": f"sqlite:///{Path.cwd() / 'application.db'}"}},
    })
    async with Host(settings) as host:
        await host.install(Path("census"), grant_required=True)
        execution = await host.run(ExecutionRequest("census"))
        print(json.dumps({
            "host": {"uid": os.getuid(), "groups": os.getgroups(), "code": moorage.__file__},
            "state": execution.state,
            "error": execution.error and execution.error.message,
            "result": execution.result,
            "level": execution.worker and execution.worker.sandbox_level,
            "pid": execution.worker and execution.worker.pid,
        }), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

PROBE = """
import asyncio
from moorage.supervisor.probe import probe_sandbox

for missing in asyncio.run(probe_sandbox()).missing:
    print(f"{missing.reason}. {missing.remedy}")
"""


@dataclass(frozen=True)
class Person:
    """A user of this machine: an ordinary one where this process is root, this process's own otherwise."""

    folder: Path

    def start(self, *command: object, **more: Any) -> subprocess.Popen[str]:
        own_user = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}
        # Proxies and certificates are the machine's; everything else is this process's own.
        kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or "SSL" in name}
        env = {**kept, "HOME": str(self.folder / "home"), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        return subprocess.Popen(
            list(map(str, command)),
            cwd=self.folder / "home",
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            **own_user,
            **more,
        )

    def ask(self, *command: object) -> tuple[int, str]:
        """Exit code and output of a command that ends by itself."""
        process = self.start(*command, stderr=subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        return process.returncode, output


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[str]
    #: What it printed after its plugin had run.
    facts: dict[str, Any]


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    # Not below pytest's folder: that one is for its own user alone.
    folder = Path(tempfile.mkdtemp(prefix="moorage-user-"))
    folder.chmod(0o755)
    (folder / "home").mkdir()
    if os.geteuid() == 0:
        os.chown(folder / "home", UID, UID)
    yield Person(folder)
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)  # environments are sealed
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def python(person: Person) -> Path:
    """Of a virtualenv with the pinned packages and this tree's distributions, made of wheels."""
    usable = "import sys, venv; sys.exit(sys.version_info < (3, 11))"
    base = next((one for one in PYTHONS if one.exists() and person.ask(one, "-I", "-c", usable)[0] == 0), None)
    assert base is not None, "no Python >= 3.11 that every user may run; scripts/services installs one on Debian"
    venv = person.folder / "venv"
    made = venv / "bin" / "python"
    uv("venv", "--python", base, venv)
    install = ("pip", "install", "--python", made)
    uv(*install, "--require-hashes", "--only-binary", ":all:", "-r", ROOT / "requirements" / "dev.txt")
    wheels = build_wheels(DISTRIBUTIONS, person.folder / "wheels")
    uv(*install, "--no-deps", *wheels.iterdir())
    return made


@pytest.fixture(scope="module")
def running(person: Person, python: Path) -> Iterator[Running]:
    """A host that has run its plugin once."""
    if person.ask("unshare", "--user", "--map-root-user", "--mount", "true")[0] != 0:
        pytest.skip(f"user namespaces are not for ordinary users here: {person.ask(python, '-c', PROBE)[1].strip()}")
    write_plugin(person.folder / "home", PLUGIN, name="census", required=RIGHTS, dependencies=["packaging"])
    with (person.folder / "stderr.txt").open("w+") as complaint:
        process = person.start(python, "-c", HOST, stderr=complaint)
        try:
            assert process.stdout is not None
            select.select([process.stdout], [], [], READY_TIMEOUT_SECONDS)
            line = process.stdout.readline() if process.poll() is None else ""
            assert line, f"the host was not ready in time: {(person.folder / 'stderr.txt').read_text()}"
            yield Running(process, json.loads(line))
        finally:
            process.kill()
            process.communicate(timeout=10)


def test_it_is_an_ordinary_user_with_its_own_copy(running: Running, person: Person) -> None:
    host = running.facts["host"]
    assert host["code"].startswith(str(person.folder))
    if os.geteuid() == 0:
        assert (host["uid"], host["groups"]) == (UID, [])
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    assert os.geteuid() != 0 or "CapEff:\t0000000000000000" in status


def test_a_plugin_with_a_dependency_runs_in_the_whole_sandbox(running: Running) -> None:
    facts = running.facts
    assert (facts["state"], facts["error"]) == ("succeeded", None)
    assert facts["result"] == {"users": 2, "offset": 0, "newer": True}
    assert facts["level"] == "full"


def test_nothing_outlives_the_killed_host(running: Running) -> None:
    worker = psutil.Process(running.facts["pid"])
    zygote = worker.parent()
    assert zygote is not None
    assert zygote.pid not in (1, running.process.pid)
    processes = [os.pidfd_open(process.pid) for process in (worker, zygote)]

    running.process.kill()

    try:
        assert all_gone(processes, time.monotonic() + GONE_TIMEOUT_SECONDS)
    finally:
        for process in processes:
            os.close(process)


def all_gone(pidfds: list[int], deadline: float) -> bool:
    """A pidfd becomes readable when its process has ended."""
    waiting = set(pidfds)
    while waiting and (left := deadline - time.monotonic()) > 0:
        waiting.difference_update(select.select(waiting, [], [], left)[0])
    return not waiting
