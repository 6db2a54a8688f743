"""Secrets through real workers: read by those who may, kept by the plugin itself, masked wherever they turn up."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.secret import SHARED, SecretOrigin

CODE = """
    import base64
    import logging
    import os
    import sys
    from moorage_sdk import Context, Plugin
    from moorage_sdk.secrets import Secrets

    plugin = Plugin()

    @plugin.task
    def execute(secrets: Secrets) -> str:
        return str(secrets["LASTFM_KEY"])

    @plugin.task
    def leak(secrets: Secrets, log: logging.Logger, ctx: Context) -> None:
        key = secrets["LASTFM_KEY"].reveal()
        log.warning("the key is %s", key, extra={"key": [key]})
        print("printed", key, base64.b64encode(b"user:" + key.encode()).decode(), flush=True)
        os.write(2, f"written {key}\\n".encode())
        ctx.progress(0.5, f"using {key}")
        raise RuntimeError(f"no luck with {key}")

    @plugin.task
    def keep(secrets: Secrets, input: str) -> str:
        secrets["LASTFM_SESSION"] = input
        print("now I have", input, flush=True)
        return "kept"

    @plugin.task
    def kept(secrets: Secrets) -> int:
        return len(secrets["LASTFM_SESSION"].reveal())

    @plugin.task
    def other(secrets: Secrets) -> None:
        secrets["OTHER_KEY"]
"""

KEY = "k3y-of-last.fm-é"


@pytest.fixture
async def probe(host: Host, tmp_path: Path) -> Host:
    rights = ["secrets.read:LASTFM_*", "secrets.write:LASTFM_SESSION"]
    await host.install(write_plugin(tmp_path, CODE, required=rights), grant_required=True)
    await host.secrets.set("probe", "LASTFM_KEY", KEY, by="dana")
    await host.secrets.set("probe", "OTHER_KEY", "swordfish", by="dana")
    return host


async def test_a_secret_is_masked_in_all_that_people_see(probe: Host, caplog: pytest.LogCaptureFixture) -> None:
    assert await probe.call("probe") == "<secret LASTFM_KEY>"
    failed = await probe.run(ExecutionRequest("probe", "leak"))
    await probe.stop("probe")

    assert failed.state is ExecutionState.FAILED
    assert failed.error is not None
    assert "no luck with [masked]" in failed.error.message
    lines = await probe.logs(installation="probe")
    messages = [line.message for line in lines]
    assert "the key is [masked]" in messages
    assert "written [masked]" in messages
    assert any(message.startswith("printed [masked] ") for message in messages)
    seen = repr((lines, await probe.executions(), await probe.audit(), await probe.installation("probe"), caplog.text))
    encoded = base64.b64encode(b"user:" + KEY.encode()).decode()
    assert "[masked]" in seen
    for form in (KEY, KEY[:-1], encoded, encoded[8:-4]):
        assert form not in seen
    (stored,) = (await probe.executions(installation="probe"))[:1]
    assert "using" in stored.progress_message
    assert KEY not in stored.progress_message


async def test_what_a_plugin_keeps_is_there_for_its_next_worker_and_masked_at_once(probe: Host) -> None:
    assert await probe.call("probe", "keep", "s3ss10n-of-ada") == "kept"
    await probe.stop("probe")
    assert await probe.call("probe", "kept") == len("s3ss10n-of-ada")
    assert "now I have [masked]" in [line.message for line in await probe.logs(installation="probe")]
    told = {info.name: info for info in await probe.secrets.list("probe")}
    assert told["LASTFM_SESSION"].origin is SecretOrigin.PLUGIN


async def test_another_name_is_denied_and_the_same_with_the_grant_is_read(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE, optional=["secrets.read:OTHER_KEY"]))
    await host.secrets.set("probe", "OTHER_KEY", "swordfish", by="dana")
    for granted in (False, True):
        if granted:
            await host.grant("probe", ["secrets.read:OTHER_KEY"])
        done = await host.run(ExecutionRequest("probe", "other"))
        assert done.state is (ExecutionState.SUCCEEDED if granted else ExecutionState.FAILED)
    assert any("secrets.read:OTHER_KEY" in entry.capability for entry in await host.audit(installation="probe"))


async def test_a_shared_secret_is_for_those_whose_settings_name_it(open_host, tmp_path: Path) -> None:
    project = write_plugin(tmp_path, CODE, required=["secrets.read:LASTFM_KEY", "secrets.write:LASTFM_SESSION"])
    settings = {"probe": {"shared_secrets": ["LASTFM_KEY"]}}
    async with open_host() as host:
        await host.install(project, grant_required=True)
        await host.secrets.set(SHARED, "LASTFM_KEY", KEY, by="dana")
        assert (await host.run(ExecutionRequest("probe"))).state is ExecutionState.FAILED
    async with open_host(installations=host.settings.model_validate({"installations": settings}).installations) as host:
        assert await host.call("probe") == "<secret LASTFM_KEY>"
        await host.secrets.rotate(by="dana")
        assert await host.call("probe") == "<secret LASTFM_KEY>"
