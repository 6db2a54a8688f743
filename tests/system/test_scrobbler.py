"""The scrobbler as it is delivered, in a real worker: against a stand-in of Last.fm, by way of an operator's proxy.

The host's own requests go to https://ws.audioscrobbler.com, as the manifest asks; the proxy leads them to the stand-in,
whose certificate is by an authority that the operator trusts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from certificates import Authority
from virtualenvs import ROOT, build_wheels

from moorage.app import Host
from moorage.config.services.http import HttpSettings
from moorage.config.settings import EnvironmentSettings, Settings
from moorage.models.execution import ExecutionRequest

TIMEOUT_SECONDS = 120
API_HOST = "ws.audioscrobbler.com"
SECRET = "a-shared-secret"
PLAYED = {"artist": "Björk", "track": "Army of Me", "album": "Post", "seconds": 234, "heard_seconds": 234}


class LastFm:
    """What its documentation says of it, as far as the scrobbler needs it."""

    def __init__(self) -> None:
        self.scrobbles: list[tuple[str, str]] = []
        self.now: list[str] = []
        self.approved = False
        self.offline = False

    def answer(self, fields: dict[str, str]) -> dict[str, object]:
        method = fields["method"]
        if self.offline:
            return {"error": 11, "message": "Service Offline"}
        signed = {name: value for name, value in fields.items() if name not in ("format", "api_sig")}
        text = "".join(name + value for name, value in sorted(signed.items())) + SECRET
        if hashlib.md5(text.encode()).hexdigest() != fields["api_sig"]:
            return {"error": 13, "message": "Invalid method signature supplied"}
        if method == "auth.getToken":
            return {"token": "a-token"}
        if method == "auth.getSession":
            if not self.approved:
                return {"error": 14, "message": "Unauthorized Token"}
            return {"session": {"name": "ada", "key": "a-session-of-ada"}}
        if fields.get("sk") != "a-session-of-ada":
            return {"error": 9, "message": "Invalid session key"}
        if method == "track.updateNowPlaying":
            self.now.append(fields["track"])
            return {"nowplaying": {}}
        count = sum(name.startswith("track[") for name in fields)
        self.scrobbles += [(fields[f"artist[{index}]"], fields[f"track[{index}]"]) for index in range(count)]
        return {"scrobbles": {"@attr": {"accepted": count, "ignored": 0}}}


@pytest.fixture
async def lastfm(tmp_path: Path) -> AsyncIterator[tuple[LastFm, Authority, int]]:
    """The stand-in, who signs for it, and the port of the proxy that leads there."""
    stand_in, authority = LastFm(), Authority(tmp_path)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                fields = parse_qs((await reader.readexactly(size)).decode(), keep_blank_values=True)
                told = stand_in.answer({name: values[0] for name, values in fields.items()})
                body = json.dumps(told).encode()
                header = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(header.encode() + body)
        writer.close()

    api = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server_context(API_HOST))
    port = api.sockets[0].getsockname()[1]
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(f"CONNECT {API_HOST}:443 ".encode()):
            writer.write(b"HTTP/1.1 403 No\r\n\r\n")
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for flow in (pump(reader, far_writer), pump(far_reader, writer)):
            pumps.add(asyncio.create_task(flow))

    proxy = await asyncio.start_server(lead, "127.0.0.1", 0)
    yield stand_in, authority, proxy.sockets[0].getsockname()[1]
    for server in (proxy, api):
        server.close()
    for task in pumps:
        task.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the models that the application publishes for its plugins."""
    return build_wheels([ROOT / "plugins" / "jukebox-models"], tmp_path_factory.mktemp("models"))


@pytest.fixture
async def host(
    settings: Settings, lastfm: tuple[LastFm, Authority, int], tmp_path: Path, wheelhouse: Path
) -> AsyncIterator[Host]:
    _, authority, proxy = lastfm
    changed = settings.model_copy(
        update={
            "http": HttpSettings(proxy=f"http://127.0.0.1:{proxy}", ca_file=authority.file),
            "environments": EnvironmentSettings(wheelhouse=(wheelhouse,)),
        }
    )
    async with asyncio.timeout(TIMEOUT_SECONDS), Host(changed) as opened:
        await opened.install(ROOT / "plugins" / "scrobbler", grant_required=True)
        view = await opened.installation("scrobbler")
        await opened.grant("scrobbler", [grant.capability for grant in view.grants])
        await opened.secrets.set("scrobbler", "LASTFM_KEY", "a-key")
        await opened.secrets.set("scrobbler", "LASTFM_SECRET", SECRET)
        yield opened


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.02)


def pending(database: Path) -> int:
    with sqlite3.connect(database) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'scrobbler_pending'").fetchone():
            return 0
        (count,) = connection.execute("SELECT count(*) FROM scrobbler_pending").fetchone()
    return int(count)


@pytest.mark.timeout(TIMEOUT_SECONDS)
async def test_from_authorisation_to_scrobbles_through_an_outage(
    host: Host, lastfm: tuple[LastFm, Authority, int], database: Path
) -> None:
    stand_in, _, _ = lastfm
    page = urlsplit(await host.call("scrobbler", "authorize"))
    assert parse_qs(page.query)["token"] == ["a-token"]
    refused = await host.run(ExecutionRequest("scrobbler", "confirm"))
    assert refused.error is not None
    assert "Unauthorized Token" in refused.error.message
    stand_in.approved = True
    assert await host.call("scrobbler", "confirm") == "ada"

    host.bus.publish("track.playing", PLAYED)
    await until(lambda: stand_in.now == ["Army of Me"])
    host.bus.publish("track.played", {**PLAYED, "started_at": datetime(2026, 9, 1, tzinfo=UTC)})
    await until(lambda: stand_in.scrobbles == [("Björk", "Army of Me")])

    stand_in.offline = True
    host.bus.publish("track.played", {**PLAYED, "track": "Hyperballad", "started_at": datetime(2026, 9, 2, tzinfo=UTC)})
    # Written down, and tried once.
    while not any("scrobbles wait" in line.message for line in await host.logs(installation="scrobbler", limit=1000)):
        await asyncio.sleep(0.02)
    assert pending(database) == 1
    assert (await host.call("scrobbler", "scrobble"))["waiting"] == 1
    stand_in.offline = False
    assert (await host.call("scrobbler", "scrobble")) == {"sent": 1, "waiting": 0, "refused": 0}
    assert stand_in.scrobbles[-1] == ("Björk", "Hyperballad")
    assert pending(database) == 0

    logged = " ".join(line.message for line in await host.logs(installation="scrobbler", limit=1000))
    assert SECRET not in logged
    assert "a-session-of-ada" not in logged
    kept = {secret.name for secret in await host.secrets.list("scrobbler")}
    assert kept == {"LASTFM_KEY", "LASTFM_SECRET", "LASTFM_SESSION"}
