from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from http_wire import BOUNDS, Wire, no_secrets
from memory_link import RecordingAudit
from servers.web import WebServer, web_server

from moorage.broker.services.http import HttpService
from moorage.broker.services.http.outward import Outward


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    async with web_server() as server:
        yield server


MakeWire = Callable[..., Any]


@pytest.fixture
def make_wire(authority: Authority) -> MakeWire:
    """A broker with the service behind it; keywords replace its bounds."""

    @contextlib.asynccontextmanager
    async def make(
        *,
        secrets: Any = no_secrets,
        look_up: Any = None,
        proxy: str | None = None,
        ca_file: Path | None = None,
        **bounds: Any,
    ) -> AsyncIterator[Wire]:
        outward = Outward(ca_file=ca_file or authority.file, proxy=proxy)
        options = {} if look_up is None else {"look_up": look_up}
        wire = Wire(HttpService(replace(BOUNDS, **bounds), outward, secrets, **options), RecordingAudit())
        await wire.broker.open()
        try:
            yield wire
        finally:
            await wire.broker.close()

    return make
