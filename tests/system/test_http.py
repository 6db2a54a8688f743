"""httpx and requests in real, sandboxed workers: the host makes their requests, and the worker has no network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from certificates import Authority
from http_wire import until
from plugin_projects import write_plugin
from servers.web import Received, WebServer, web_server

from moorage.app import Host
from moorage.config.services.http import HttpSettings
from moorage.config.settings import Settings
from moorage.models.execution import ExecutionRequest, ExecutionState

PLUGIN = """
    import asyncio
    import socket

    import httpx
    import requests

    from moorage_sdk import CapabilityMissing, Plugin
    from moorage_sdk.http import secret

    plugin = Plugin()

    @plugin.task
    def by_httpx(http: httpx.Client, input: str) -> str:
        return http.get(input, headers={"Authorization": f"Bearer {secret('API_KEY')}"}).text

    @plugin.task
    async def by_async(http: httpx.AsyncClient, input: str) -> list:
        answers = await asyncio.gather(*(http.post(input, content=b"x" * 200_000) for _ in range(10)))
        return [answer.status_code for answer in answers]

    @plugin.task
    def by_requests(http: requests.Session, input: str) -> str:
        return http.get(input).text

    @plugin.task
    def refused(http: httpx.Client, input: str) -> str:
        try:
            http.get(input)
        except CapabilityMissing as error:
            return str(error)
        return "it was let through"

    @plugin.task
    def directly(input: list) -> str:
        try:
            socket.create_connection((input[0], input[1]), timeout=2).close()
        except OSError as error:
            return type(error).__name__
        return "connected"

    @plugin.task
    def slowly(http: httpx.Client, input: str) -> int:
        with http.stream("GET", input, timeout=None) as response:
            return sum(map(len, response.iter_raw()))
"""

KEY = "k3y-of-the-api"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def web(authority: Authority) -> AsyncIterator[WebServer]:
    async with web_server(authority.server_context("127.0.0.1")) as server:
        yield server


@pytest.fixture
async def host(settings: Settings, authority: Authority, tmp_path: Path, web: WebServer) -> AsyncIterator[Host]:
    changed = settings.model_copy(update={"http": HttpSettings(ca_file=authority.file)})
    rights = [f"http.{method}:https://{web.origin}/**" for method in ("get", "post")]
    project = write_plugin(
        tmp_path, PLUGIN, required=[*rights, "secrets.use:API_KEY"], dependencies=["httpx", "requests"]
    )
    async with Host(changed) as opened, asyncio.timeout(50):
        await opened.install(project, grant_required=True)
        await opened.secrets.set("probe", "API_KEY", KEY, by="dana")
        yield opened


async def test_each_library_reaches_what_was_granted_and_nothing_else(host: Host, web: WebServer) -> None:
    url = f"https://{web.origin}/x"
    assert await host.call("probe", "by_requests", url)
    assert await host.call("probe", "by_async", url) == [200] * 10
    answered = await host.call("probe", "by_httpx", url)
    assert web.received[-1].header("authorization") == f"Bearer {KEY}"
    assert (web.received[-1].header("user-agent") or "").endswith("moorage/probe")
    # The server tells what it was sent; whoever is shown the result does not see the secret.
    assert "Bearer" in str(answered)
    assert "lacks the capability http.get:https://127.0.0.1:1/" in await host.call(
        "probe", "refused", "https://127.0.0.1:1/"
    )
    assert await host.call("probe", "directly", ["127.0.0.1", web.port]) != "connected"


@pytest.mark.parametrize("end", ["kill", "cancel"])
async def test_a_worker_that_ends_within_a_body_leaves_no_connection(host: Host, web: WebServer, end: str) -> None:
    async def drip(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()
            await asyncio.sleep(0.01)

    web.on("/drip", drip)
    started = await host.submit(ExecutionRequest("probe", "slowly", f"https://{web.origin}/drip"))
    await until(lambda: bool(web.received), seconds=30)
    if end == "kill":
        await host.kill("probe")
    else:
        await host.cancel(started.id)
    ended = await host.wait(started.id)
    assert ended.state is not ExecutionState.SUCCEEDED
    await until(lambda: web.open == 0)
    if end == "cancel":
        assert await host.call("probe", "by_requests", f"https://{web.origin}/x")
