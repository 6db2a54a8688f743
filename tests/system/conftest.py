"""Real hosts with real, sandboxed workers. Environments are built once and shared; all other state is a test's own."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.supervisor.cgroups import Cgroups

SHARED = ("runtimes", "sdk")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    for name in SHARED:
        (folder / name).mkdir()
    return folder


@pytest.fixture
def state_dir(tmp_path: Path, built: Path) -> Iterator[Path]:
    """Control groups of a host that a test has killed are removed as the next host would."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for name in SHARED:
        (state / name).symlink_to(built / name)
    yield state
    groups = Cgroups(state)
    groups.open()
    groups.close()


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Short: a socket's path has room for 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="mrg-") as folder:
        yield Path(folder)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The application's: two tables and a view over one of them."""
    path = tmp_path / "application.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            PRAGMA journal_mode=WAL;
            CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
            CREATE TABLE salaries (user_id INTEGER PRIMARY KEY, cents INTEGER NOT NULL);
            CREATE VIEW everything AS SELECT name, cents FROM users JOIN salaries ON user_id = id;
            INSERT INTO users (name) VALUES ('Ada'), ('Grace');
            INSERT INTO salaries VALUES (1, 100), (2, 200);
            """
        )
    connection.close()
    return path


@pytest.fixture
def settings(state_dir: Path, run_dir: Path, database: Path) -> Settings:
    return Settings.model_validate(
        {"state_dir": state_dir, "run_dir": run_dir, "sql": {"main": {"url": f"sqlite:///{database}"}}}
    )


OpenHost = Callable[..., AbstractAsyncContextManager[Host]]


@pytest.fixture
async def host(settings: Settings) -> AsyncIterator[Host]:
    async with Host(settings) as opened:
        yield opened


@pytest.fixture
def open_host(settings: Settings) -> OpenHost:
    """For tests that need several hosts, one after the other, or other settings."""

    @asynccontextmanager
    async def opened(**changes: object) -> AsyncIterator[Host]:
        async with Host(settings.model_copy(update=changes)) as host:
            yield host

    return opened
