"""SDK and contracts in real virtualenvs at the corners of what they promise, linked to this host."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from corners import CORNERS, OWN, OWN_COPIES, build
from mini_host import mini_host

from moorage.environments.interpreters import Interpreters

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(400)]

SMOKE = Path(__file__).with_name("smoke.py")

PLUGIN = """
    import logging
    from dataclasses import dataclass

    from moorage_sdk import Context, Plugin
    from moorage_sdk.kafka import Producer

    plugin = Plugin()


    @dataclass
    class Report:
        users: int


    @plugin.task
    def execute(ctx: Context, log: logging.Logger, kafka: Producer) -> Report:
        kafka.send("plugin-topic", "x" * 200_000).result(timeout=20)
        log.info("counted")
        ctx.progress(1.0)
        return Report(3)


    @plugin.task
    async def leak(kafka: Producer) -> None:
        await kafka.send("elsewhere", "x")
"""


@pytest.fixture(scope="session")
def interpreters():
    found = asyncio.run(Interpreters().found())
    return {OWN.python: Path(sys.executable)} | {interpreter.minor: interpreter.path for interpreter in found}


@pytest.fixture(scope="session", params=CORNERS, ids=str)
def corner(request, interpreters, tmp_path_factory):
    """A corner and its python."""
    base = interpreters.get(request.param.python)
    if base is None:
        pytest.skip(f"missing on this machine: Python {request.param.python}")
    return request.param, build(request.param, base, tmp_path_factory.mktemp("corner") / "venv")


def agrees(found: str, requirement: str) -> bool:
    _, _, wanted = requirement.partition("==")
    return found.startswith(wanted.rstrip("*"))


def test_contracts_sdk_and_kit(corner):
    wanted, python = corner
    done = subprocess.run(
        [python, "-W", "error", SMOKE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(OWN_COPIES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert agrees(found["python"], f"=={wanted.python}")
    assert agrees(found["protobuf"], wanted.protobuf)
    assert agrees(found["grpcio"], wanted.grpcio)


async def test_a_worker_is_linked_to_this_host(corner, tmp_path):
    wanted, python = corner
    async with mini_host(tmp_path, str(python), PLUGIN, path=OWN_COPIES) as host:
        assert agrees(host.hello.python_version, f"=={wanted.python}")
        assert agrees(host.hello.protobuf_version, wanted.protobuf)
        assert agrees(host.hello.grpcio_version, wanted.grpcio)
        reply = await host.load()
        assert [task.name for task in reply.tasks] == ["execute", "leak"]
        assert await host.run("execute") == {"users": 3}
        assert host.kafka.values("plugin-topic") == [b"x" * 200_000]
        assert [line.message for line in host.log.lines] == ["counted"]
        with pytest.raises(Exception, match=r"lacks the capability kafka\.produce:elsewhere"):
            await host.run("leak", scope="e-2")
