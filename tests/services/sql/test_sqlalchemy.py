"""SQLAlchemy's ORM, unchanged, over the host and over the fake; other versions of it in virtualenvs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from orm_scenarios import SCENARIOS, Author, Stage, stage_on_postgresql
from postgres_worlds import PostgresWorld
from sql_worlds import HostWorld, World
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError, ResourceClosedError
from virtualenvs import uv

from moorage.environments.interpreters import Interpreters
from moorage_sdk import host as hosts
from moorage_sdk.errors import DeadlineExceeded, PluginInvalid
from moorage_sdk.host import HostFacts, SqlBackend
from moorage_sdk.services.sqlalchemy.engine import engine_for

REPOSITORY = Path(__file__).parents[3]

#: (Python, what is installed)
VERSIONS = [
    ("3.9", ["sqlalchemy==1.4.*", "protobuf==3.20.*"]),
    ("3.9", ["sqlalchemy==2.0.0", "protobuf==4.25.*"]),
    ("3.13", ["sqlalchemy>=2", "protobuf>=6"]),
]


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    """Of databases, to the tests that come after."""
    yield
    hosts.install(HostFacts(""))


@pytest.fixture
def stage(world: World) -> Stage:
    """With an empty database."""
    for kind, name in world.rows("SELECT type, name FROM sqlite_master WHERE type IN ('view', 'table')"):
        if not name.startswith("sqlite_"):
            world.rows(f"DROP {kind} {name}")
    return Stage(world.worker, world.rows)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_orm(stage: Stage, scenario):
    scenario(stage)


@pytest.mark.system
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_orm_on_postgresql(postgres: PostgresWorld, scenario):
    scenario(stage_on_postgresql(postgres))


def test_a_session_after_its_scope(stage: Stage):
    stage.create()
    with stage.session() as db:
        kept = db
        kept.add(Author(name="Ada"))

    with pytest.raises(ResourceClosedError), stage.session():
        kept.execute(select(Author))
    assert stage.rows("SELECT name FROM authors") == [("Ada",)]


FOR_EVER = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up) SELECT count(*) FROM up"


def _a_time_limit(stage: Stage) -> None:
    with stage.session() as db:
        for kind in (DeadlineExceeded, OperationalError):
            with pytest.raises(kind):
                db.execute(text(FOR_EVER).execution_options(timeout=0.05))
            db.rollback()
        assert db.execute(text("SELECT 1")).scalar() == 1


def test_a_time_limit_on_sqlite(patient_host: HostWorld):
    _a_time_limit(Stage(patient_host.worker, patient_host.rows))


@pytest.mark.system
def test_a_time_limit_on_postgresql(postgres: PostgresWorld):
    _a_time_limit(stage_on_postgresql(postgres))


def test_a_database_that_the_sdk_does_not_speak():
    facts = HostFacts("churn", sql_backends={"main": SqlBackend("main", "oracle", "named")})

    with pytest.raises(PluginInvalid, match="oracle"):
        engine_for(facts, "main", scoped=True)


@pytest.mark.matrix
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("python", "requirements"), VERSIONS, ids=str)
async def test_other_versions(tmp_path: Path, python: str, requirements: list[str]):
    found = {interpreter.minor: interpreter.path for interpreter in await Interpreters().found()}
    if python not in found:
        pytest.skip(f"missing on this machine: Python {python}")
    uv, venv = [sys.executable, "-m", "uv"], tmp_path / "venv"
    subprocess.run([*uv, "venv", "-q", "--python", found[python], venv], check=True, timeout=60)
    install = [*uv, "pip", "install", "-q", "--python", venv, *requirements, "greenlet", "tomli"]
    subprocess.run(install, check=True, timeout=240)

    done = subprocess.run(
        [venv / "bin" / "python", REPOSITORY / "tests" / "support" / "orm_scenarios.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(REPOSITORY / "proto"), str(REPOSITORY / "sdk")))},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["scenarios"]) == len(SCENARIOS)


@pytest.mark.matrix
@pytest.mark.timeout(300)
@pytest.mark.parametrize("requirement", ["sqlalchemy==1.4.*", "sqlalchemy==2.0.0"])
def test_other_versions_on_postgresql(tmp_path: Path, requirement: str):
    """On this Python, as the host's broker is in the same process; another SQLAlchemy comes before its own."""
    uv("pip", "install", "--python", sys.executable, "--target", tmp_path, "--no-deps", requirement)

    done = subprocess.run(
        [sys.executable, REPOSITORY / "tests" / "support" / "orm_scenarios.py", "postgresql"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(REPOSITORY / "tests" / "support")))},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sqlalchemy"].startswith(requirement.partition("==")[2].rstrip("*"))
    assert len(told["scenarios"]) == len(SCENARIOS)
