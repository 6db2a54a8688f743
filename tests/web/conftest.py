from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from moorage.config.settings import Settings
from moorage.web.api import create_api
from moorage.web.server import ApiServer

SOURCE = Path(__file__).with_name("memory_host.py")


def load_memory_host():
    """Test folders are no packages, so the module is loaded by its path; dataclasses look it up in sys.modules."""
    if "memory_host" not in sys.modules:
        spec = importlib.util.spec_from_file_location("memory_host", SOURCE)
        module = importlib.util.module_from_spec(spec)
        sys.modules["memory_host"] = module
        spec.loader.exec_module(module)
    return sys.modules["memory_host"]


@pytest.fixture
def host(tmp_path):
    return load_memory_host().furnished(Settings(state_dir=tmp_path))


@pytest.fixture(scope="session")
def api():
    """One for all tests; each test puts its own host behind it."""
    return create_api(None)


@pytest.fixture
def app(api, host):
    api.state.operations = host
    return api


@pytest.fixture
async def client(app) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://host/api/v1") as client:
        yield client


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Short: a socket's path holds 108 bytes, and pytest's own folders are deep."""
    with tempfile.TemporaryDirectory(prefix="mr-") as folder:
        yield Path(folder) / "run" / "api.sock"


@pytest.fixture
async def served(app, socket_path) -> AsyncIterator[httpx.AsyncClient]:
    """The API on a real socket; answers are streamed."""
    async with ApiServer(app, socket_path):
        transport = httpx.AsyncHTTPTransport(uds=str(socket_path), verify=False)  # no TLS, so no certificates
        async with httpx.AsyncClient(transport=transport, base_url="http://host/api/v1", timeout=10) as client:
            yield client
