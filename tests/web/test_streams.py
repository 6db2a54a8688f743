"""Following logs over a real socket, and installs that are left half-way."""

from __future__ import annotations

import asyncio
import json

import pytest

from moorage.errors import Conflict
from moorage.web import streams


async def events(answer):
    """(name, id, data) of each server-sent event."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line.startswith(":"):
            continue
        if not line:
            if fields:
                yield fields["event"], fields.get("id"), json.loads(fields["data"])
            fields = {}
            continue
        key, _, value = line.partition(": ")
        fields[key] = value


@pytest.fixture(autouse=True)
async def deadline():
    async with asyncio.timeout(20):
        yield


async def test_follows_new_lines(served, host):
    host.log("churn", "before")
    async with served.stream("GET", "/logs/stream", params={"installation": "churn"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        await host.followed.wait()
        host.log("geo-tag", "not asked for")
        host.log("churn", "two\nlines")
        async for name, identity, line in events(answer):
            assert (name, identity, line["message"]) == ("log", "3", "two\nlines")
            break
    await until(lambda: not host.followers)


async def test_begins_with_a_tail_and_loses_nothing_between(served, host):
    for number in range(5):
        host.log("churn", f"old {number}")
    async with served.stream("GET", "/logs/stream", params={"tail": 2}) as answer:
        await host.followed.wait()
        host.log("churn", "new")
        seen = []
        async for _name, _identity, line in events(answer):
            seen.append(line["message"])
            if len(seen) == 3:
                break
    assert seen == ["old 3", "old 4", "new"]


async def test_goes_on_after_the_last_event_seen(served, host):
    for number in range(2500):
        host.log("churn", f"line {number}")
    async with served.stream("GET", "/logs/stream", headers={"Last-Event-ID": "10"}) as answer:
        await host.followed.wait()
        host.log("churn", "the end")
        identities = []
        async for _name, identity, line in events(answer):
            identities.append(int(identity))
            if line["message"] == "the end":
                break
    assert identities == list(range(11, 2502))


async def test_follows_one_execution(served, host):
    async with served.stream("GET", "/logs/stream", params={"execution": "e-2"}) as answer:
        await host.followed.wait()
        host.log("churn", "other", execution="e-1")
        host.log("churn", "mine", execution="e-2")
        async for _name, _identity, line in events(answer):
            assert line["message"] == "mine"
            break


async def test_a_quiet_stream_is_kept_alive(served, monkeypatch):
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.02)
    async with served.stream("GET", "/logs/stream") as answer:
        comments = 0
        async for line in answer.aiter_lines():
            comments += line.startswith(":")
            if comments == 4:
                break


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(Conflict("The store is closed."), "conflict", "The store is closed."), (KeyError("secret"), "internal", "")],
)
async def test_a_stream_that_breaks_ends_in_a_problem(served, host, error, code, said):
    async def broken(*, installation=None):
        yield host.log("churn", "first")
        raise error

    host.follow_logs = broken
    async with served.stream("GET", "/logs/stream") as answer:
        (first, _, line), (last, _, problem) = [event async for event in events(answer)]
    assert (first, line["message"]) == ("log", "first")
    assert (last, problem["code"]) == ("problem", code)
    assert said in problem["detail"]
    assert "secret" not in problem["detail"]


async def test_a_client_that_leaves_cancels_its_install(served, host, tmp_path):
    cancelled = asyncio.Event()

    async def endless(path, *, progress, **_rest):
        progress("resolving")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    host.install = endless
    async with served.stream(
        "POST", "/installations", json={"path": str(tmp_path)}, headers={"Accept": "application/x-ndjson"}
    ) as answer:
        async for line in answer.aiter_lines():
            if line:
                assert json.loads(line) == {"event": "progress", "sentence": "resolving"}
                break
    await cancelled.wait()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)
