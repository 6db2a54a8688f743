"""The commands against a real server: the API over a host in memory, on a Unix socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from moorage.cli.main import app as command_line
from moorage.config.settings import Settings
from moorage.web.api import create_api
from moorage.web.server import ApiServer

MEMORY_HOST = Path(__file__).parents[1] / "web" / "memory_host.py"


def load_memory_host():
    """Test folders are no packages, so the module is loaded by its path; dataclasses look it up in sys.modules."""
    if "memory_host" not in sys.modules:
        spec = importlib.util.spec_from_file_location("memory_host", MEMORY_HOST)
        module = importlib.util.module_from_spec(spec)
        sys.modules["memory_host"] = module
        spec.loader.exec_module(module)
    return sys.modules["memory_host"]


class ServerThread:
    """One server for all tests; each test puts its own host behind it."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.app = create_api(None)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()], daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    async def _serve(self) -> None:
        async with ApiServer(self.app, self.socket):
            self._ready.set()
            await self._stop.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait({task})


@pytest.fixture(scope="session")
def server() -> Iterator[ServerThread]:
    with tempfile.TemporaryDirectory(prefix="mr-") as folder:
        thread = ServerThread(Path(folder) / "run" / "api.sock")
        thread.start()
        yield thread
        thread.stop()


@pytest.fixture
def host(server, tmp_path):
    server.app.state.operations = load_memory_host().furnished(Settings(state_dir=tmp_path))
    return server.app.state.operations


@pytest.fixture
def moorage(host, server, monkeypatch, tmp_path):
    """Runs a command; gives what CliRunner gives: exit_code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("MOORAGE_CONFIG", "FORCE_COLOR", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOORAGE_SOCKET", str(server.socket))
    monkeypatch.setenv("TZ", "UTC")

    def run(*arguments: str, **options):
        result = CliRunner().invoke(command_line, [str(argument) for argument in arguments], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
