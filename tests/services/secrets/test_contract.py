"""What plugin code sees of its secrets, over the fake and over the host's vault: the same."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Optional

import pytest
from service_worlds import FakeWorld, HostWorld, World, closing, in_scope

from moorage.broker.services.secrets import SecretsService
from moorage.broker.services.secrets.key_file import KeyFile
from moorage.broker.services.secrets.service import MAX_CHANGES
from moorage.broker.services.secrets.vault import Vault
from moorage.models.secret import SealedSecret
from moorage.telemetry.masking import Maskers
from moorage_proto import capability
from moorage_sdk import CapabilityMissing, MoorageError, Plugin
from moorage_sdk.secrets import Secret, Secrets
from moorage_sdk.testing import Moorage, TestedManifest
from moorage_sdk.testing.secrets import FakeSecrets

Make = Callable[..., Secrets]


class Dictionary:
    """A store in memory."""

    def __init__(self) -> None:
        self.sealed: dict[tuple[str, str], SealedSecret] = {}

    async def list(self) -> Sequence[SealedSecret]:
        return tuple(self.sealed.values())

    async def put(self, secrets: Sequence[SealedSecret]) -> None:
        self.sealed.update({(secret.installation, secret.name): secret for secret in secrets})

    async def delete(self, installation: str, name: str) -> bool:
        return self.sealed.pop((installation, name), None) is not None


@pytest.fixture(params=["fake", "host"])
def secrets_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes the plugin's secrets, with the capabilities that it has."""

    def made(world: World) -> Make:
        return lambda *capabilities, deny=(): Secrets(world.worker(*capabilities, deny=deny).channel)

    if request.param == "fake":
        with closing(FakeWorld(FakeSecrets())) as world, in_scope():
            yield made(world)
        return
    vault = Vault(Dictionary(), KeyFile(tmp_path / "keys"), shared=lambda _: (), sharing=(), mask=Maskers().set)
    with closing(HostWorld(SecretsService(vault))) as world, in_scope():
        yield made(world)


def test_what_was_set_is_read_until_it_is_deleted(secrets_of: Make) -> None:
    secrets = secrets_of("secrets.read:LASTFM_*", "secrets.write:LASTFM_SESSION")
    assert secrets.get("LASTFM_SESSION") is None
    assert "LASTFM_SESSION" not in secrets
    with pytest.raises(KeyError, match="LASTFM_SESSION"):
        secrets["LASTFM_SESSION"]

    secrets["LASTFM_SESSION"] = "s3ss10n é"
    assert secrets["LASTFM_SESSION"].reveal() == "s3ss10n é"
    secrets.set("LASTFM_SESSION", "another")
    assert secrets["LASTFM_SESSION"].reveal() == "another"
    assert secrets.names() == ("LASTFM_SESSION",)

    assert secrets.delete("LASTFM_SESSION")
    assert not secrets.delete("LASTFM_SESSION")
    assert secrets.names() == ()


def test_coroutines_have_the_same(secrets_of: Make) -> None:
    secrets = secrets_of("secrets.read:**", "secrets.write:**")

    async def use() -> None:
        await secrets.set_async("KEY", "value")
        found = await secrets.get_async("KEY")
        assert found is not None
        assert found.reveal() == "value"
        assert await secrets.names_async() == ("KEY",)
        assert await secrets.delete_async("KEY")
        assert await secrets.get_async("KEY") is None

    asyncio.run(use())


def test_each_name_needs_its_right(secrets_of: Make) -> None:
    secrets = secrets_of("secrets.read:KEY", "secrets.write:OWN")
    secrets.set("OWN", "value")
    for refused in (
        lambda: secrets.get("OWN"),
        lambda: secrets.set("KEY", "value"),
        lambda: secrets.delete("KEY"),
        lambda: secrets.get("KEY2"),
    ):
        with pytest.raises(CapabilityMissing, match="secrets"):
            refused()
    assert secrets.get("KEY") is None


def test_a_deny_beats_a_wider_grant(secrets_of: Make) -> None:
    secrets = secrets_of("secrets.read:**", deny=("secrets.read:KEY",))
    with pytest.raises(CapabilityMissing):
        secrets.get("KEY")
    assert secrets.get("OTHER") is None


def test_an_empty_value_is_refused(secrets_of: Make) -> None:
    with pytest.raises(MoorageError, match="delete it"):
        secrets_of("secrets.write:**").set("KEY", "")


def test_bytes_are_refused_before_they_leave(secrets_of: Make) -> None:
    with pytest.raises(TypeError, match="Base64"):
        secrets_of("secrets.write:**").set("KEY", b"value")  # type: ignore[arg-type]  # the mistake that is tested


def test_a_secret_shows_itself_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret("KEY", "hunter22")
    logging.getLogger().warning("%s %r", secret, secret)
    shown = f"{secret} {secret!r} {str(secret)} {[secret]} {vars(caplog.records[0])} {caplog.text}"  # noqa: RUF010 - each way is tested
    assert "hunter22" not in shown
    assert "<secret KEY>" in shown
    for way in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="reveal"):
            way(secret)
    assert secret == Secret("OTHER", "hunter22")
    assert secret != Secret("KEY", "another")
    assert secret != "hunter22"
    assert len({secret, Secret("OTHER", "hunter22")}) == 1


plugin = Plugin()


@plugin.task
def obtain(secrets: Secrets) -> str:
    secrets["SESSION"] = secrets["KEY"].reveal() + "-session"
    return "done"


@plugin.task
def without(secrets: Optional[Secrets]) -> bool:
    return secrets is None


def kit(*rights: str) -> Moorage:
    return Moorage(TestedManifest("churn", capabilities=tuple(map(capability.parse, rights))))


def test_in_the_testing_kit() -> None:
    moorage = kit("secrets.read:KEY", "secrets.write:SESSION")
    moorage.secrets["KEY"] = "k3y"
    assert moorage.run(obtain).result == "done"
    assert moorage.secrets.values == {"KEY": "k3y", "SESSION": "k3y-session"}
    assert moorage.run(without).result is False
    moorage.close()


def test_an_optional_parameter_is_none_without_a_right() -> None:
    moorage = kit("config.read:**")
    assert moorage.run(without).result is True
    moorage.close()


def test_a_plugin_changes_its_secrets_at_a_bounded_pace(tmp_path: Path) -> None:
    """Each change is work for whoever masks texts."""
    now = 0.0
    vault = Vault(Dictionary(), KeyFile(tmp_path / "keys"), shared=lambda _: (), sharing=(), mask=Maskers().set)
    with closing(HostWorld(SecretsService(vault, lambda: now))) as world, in_scope():
        secrets = Secrets(world.worker("secrets.write:*", "secrets.read:*").channel)
        for number in range(MAX_CHANGES):
            secrets.set("KEY", f"value {number}")
        with pytest.raises(MoorageError, match="more than 60 times a minute"):
            secrets.set("KEY", "one more")
        assert secrets["KEY"].reveal() == f"value {MAX_CHANGES - 1}"
        now = 1.5
        secrets.set("KEY", "one more")
