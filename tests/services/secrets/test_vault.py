"""Secrets in the host: sealed in the store, opened by the keys of a file, masked from the moment they are there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moorage.broker.services.secrets.cipher import NotOpened, seal, unseal
from moorage.broker.services.secrets.errors import SecretInvalid, SecretSealed, SecretUnknown, TooManySecrets
from moorage.broker.services.secrets.key_file import KeyFile, KeyFileUnusable
from moorage.broker.services.secrets.vault import MAX_OWN_LINES, MAX_OWN_SECRETS, MAX_SECRETS, MAX_VALUE_BYTES, Vault
from moorage.models.installation import Installation
from moorage.models.manifest import Manifest
from moorage.models.secret import SHARED, SecretOrigin
from moorage.store.errors import InstallationUnknown
from moorage.store.store import Store
from moorage.telemetry.masking import Maskers

OPERATOR, PLUGIN = SecretOrigin.OPERATOR, SecretOrigin.PLUGIN


class World:
    """One store and one key file; a vault for each host that lives on them."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.keys = KeyFile(folder / "keys" / "secrets.keys")
        self.path = folder / "keys" / "secrets.keys"
        self.maskers = Maskers()
        self.shared: dict[str, tuple[str, ...]] = {}

    async def open(self) -> Vault:
        self.maskers = Maskers()
        vault = Vault(
            self.store.secrets,
            self.keys,
            shared=lambda name: self.shared.get(name, ()),
            sharing=self.shared,
            mask=self.maskers.set,
        )
        await vault.open()
        return vault

    def masked(self, text: str, installation: str = "churn") -> str:
        return self.maskers.of(installation).text(text)


def installation(name: str) -> Installation:
    manifest = Manifest(name=name, version="1.0.0", entry_point=f"{name}:plugin")
    return Installation(name, manifest, Path("/source"), Path("/code"), "c0de", ("",), "venv")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with Store(tmp_path / "moorage.db") as store:
        for name in ("churn", "other"):
            await store.installations.add(installation(name))
        yield World(store, tmp_path)


async def put(vault: Vault, name: str, value: str, owner: str = "churn", origin: SecretOrigin = OPERATOR) -> None:
    await vault.write(owner, name, value, by="dana", origin=origin)


async def test_a_secret_is_kept_sealed_and_opens_for_the_next_host(world: World, tmp_path: Path) -> None:
    await put(await world.open(), "LASTFM_KEY", "correct horse")

    (sealed,) = await world.store.secrets.list()
    assert b"correct" not in sealed.sealed
    on_disk = b"".join(path.read_bytes() for path in tmp_path.glob("moorage.db*"))
    assert b"correct horse" not in on_disk
    assert await (await world.open()).read("churn", "LASTFM_KEY") == "correct horse"


async def test_each_installation_has_its_own(world: World) -> None:
    vault = await world.open()
    await put(vault, "KEY", "of churn")
    await put(vault, "KEY", "of the other", owner="other")

    assert await vault.read("churn", "KEY") == "of churn"
    assert await vault.read("other", "KEY") == "of the other"
    assert vault.names("churn") == ("KEY",)


async def test_a_shared_one_is_for_those_that_the_settings_name_and_an_own_one_comes_first(world: World) -> None:
    world.shared = {"churn": ("KEY",)}
    vault = await world.open()
    await put(vault, "KEY", "of everybody", owner=SHARED)

    assert await vault.read("churn", "KEY") == "of everybody"
    assert vault.names("churn") == ("KEY",)
    assert await vault.read("other", "KEY") is None
    assert vault.names("other") == ()
    assert world.masked("it is of everybody") == "it is [masked]"

    await put(vault, "KEY", "of churn alone")
    assert await vault.read("churn", "KEY") == "of churn alone"
    await vault.delete("churn", "KEY")
    assert await vault.read("churn", "KEY") == "of everybody"


async def test_what_was_moved_in_the_store_does_not_open(world: World) -> None:
    vault = await world.open()
    await put(vault, "KEY", "of churn")
    (sealed,) = await world.store.secrets.list()
    await world.store.secrets.put([replace(sealed, installation="other"), replace(sealed, name="OTHER")])

    vault = await world.open()
    assert await vault.read("churn", "KEY") == "of churn"
    for owner, name in (("other", "KEY"), ("churn", "OTHER")):
        with pytest.raises(SecretSealed, match="cannot be opened"):
            await vault.read(owner, name)
    assert [info.name for info in vault.list("churn") if info.problem] == ["OTHER"]


async def test_without_its_key_a_secret_does_not_open_and_can_be_set_anew(world: World) -> None:
    await put(await world.open(), "KEY", "of churn")
    world.path.unlink()

    vault = await world.open()
    with pytest.raises(SecretSealed, match="moorage secrets set churn KEY"):
        await vault.read("churn", "KEY")
    await put(vault, "KEY", "new one")
    assert await vault.read("churn", "KEY") == "new one"


async def test_values_are_masked_and_stay_so_when_they_are_replaced_or_deleted(world: World) -> None:
    vault = await world.open()
    await put(vault, "KEY", "first value")
    assert world.masked("first value, second value") == "[masked], second value"
    assert world.masked("first value", "other") == "first value"
    await put(vault, "KEY", "second value")
    assert world.masked("first value, second value") == "[masked], [masked]"
    await vault.delete("churn", "KEY")
    assert world.masked("second value") == "[masked]"
    assert world.maskers.everything("second value") == "[masked]"
    vault.forget("churn")
    assert world.masked("second value") == "second value"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("", "value", "no name"),
        ("A/B", "value", "no name"),
        ("A*", "value", "no name"),
        ("9A", "value", "no name"),
        ("A" * 101, "value", "no name"),
        ("KEY", "", "delete it"),
        ("KEY", "x" * (MAX_VALUE_BYTES + 1), "at most 16,384"),
        ("KEY", "\ud800", "surrogate"),
    ],
)
async def test_what_cannot_be_kept_is_refused_without_its_value(
    world: World, name: str, value: str, problem: str
) -> None:
    vault = await world.open()
    with pytest.raises(SecretInvalid, match=problem) as refused:
        await put(vault, name, value)
    assert value == "" or value not in str(refused.value)
    await put(vault, "A.b-C_9", "x" * MAX_VALUE_BYTES)


async def test_there_is_room_for_so_many_and_for_fewer_of_the_plugins_own(world: World) -> None:
    vault = await world.open()
    for number in range(MAX_OWN_SECRETS):
        await put(vault, f"OWN{number}", "value", origin=PLUGIN)
    with pytest.raises(TooManySecrets, match=f"at most {MAX_OWN_SECRETS}"):
        await put(vault, "ONE_MORE", "value", origin=PLUGIN)
    await put(vault, "OWN0", "another value", origin=PLUGIN)
    for number in range(MAX_SECRETS - MAX_OWN_SECRETS):
        await put(vault, f"KEY{number}", "value")
    with pytest.raises(TooManySecrets, match=f"at most {MAX_SECRETS}"):
        await put(vault, "ONE_MORE", "value")


async def test_a_plugin_cannot_have_very_many_lines_looked_for(world: World) -> None:
    vault = await world.open()
    lines = "\n".join(f"line {number:08}" for number in range(MAX_OWN_LINES + 1))
    with pytest.raises(SecretInvalid, match="more than 64 lines") as refused:
        await put(vault, "OWN", lines, origin=PLUGIN)
    assert "line 00000000" not in str(refused.value)
    await put(vault, "OWN", lines[:-14], origin=PLUGIN)
    await put(vault, "CERTIFICATES", lines)


async def test_what_a_plugin_wrote_is_masked_in_its_own_texts_and_not_as_a_word_in_those_of_others(
    world: World,
) -> None:
    vault = await world.open()
    await put(vault, "GIVEN", "correct horse")
    await put(vault, "WORD", "denied", origin=PLUGIN)
    assert world.masked("denied, correct horse") == "[masked], [masked]"
    assert world.maskers.everything("denied, correct horse") == "denied, [masked]"
    await vault.delete("churn", "WORD")
    assert world.maskers.everything("denied") == "denied"
    assert world.masked("denied") == "[masked]"


async def test_a_shared_secret_is_masked_before_anybody_shares_it(world: World) -> None:
    vault = await world.open()
    await put(vault, "KEY", "correct horse", owner=SHARED)
    assert world.maskers.everything("correct horse") == "[masked]"


async def test_what_is_not_there(world: World) -> None:
    vault = await world.open()
    assert await vault.read("churn", "KEY") is None
    with pytest.raises(SecretUnknown, match="churn has no secret KEY"):
        await vault.delete("churn", "KEY")
    with pytest.raises(InstallationUnknown):
        await put(vault, "KEY", "value", owner="nobody")


async def test_removing_an_installation_removes_its_secrets_alone(world: World) -> None:
    vault = await world.open()
    await put(vault, "KEY", "value")
    await put(vault, "KEY", "value", owner="other")
    await world.store.installations.remove("churn")

    assert [sealed.installation for sealed in await world.store.secrets.list()] == ["other"]


# -- keys ---------------------------------------------------------------------------------------------------------


async def test_rotation_seals_all_anew_and_forgets_the_old_key(world: World) -> None:
    vault = await world.open()
    await put(vault, "KEY", "value")
    await put(vault, "KEY", "shared value", owner=SHARED)
    (old,) = world.keys.keys()

    assert await vault.rotate() == 2

    (new,) = world.keys.keys()
    assert new != old
    assert {sealed.key_id for sealed in await world.store.secrets.list()} == {new.id}
    assert await vault.read("churn", "KEY") == "value"
    assert await (await world.open()).read("churn", "KEY") == "value"


async def test_a_rotation_that_was_broken_off_leaves_every_secret_to_be_opened(world: World) -> None:
    await put(await world.open(), "KEY", "value")
    (old,) = world.keys.keys()
    new = world.keys.add()  # and then the host died

    vault = await world.open()
    assert await vault.read("churn", "KEY") == "value"
    await put(vault, "OTHER", "value")
    assert {sealed.name: sealed.key_id for sealed in await world.store.secrets.list()} == {
        "KEY": old.id,
        "OTHER": new.id,
    }
    await vault.rotate()
    assert len(world.keys.keys()) == 1
    assert await (await world.open()).read("churn", "KEY") == "value"


async def test_rotation_leaves_what_does_not_open(world: World) -> None:
    vault = await world.open()
    await put(vault, "KEY", "value")
    lost = world.path.read_text()
    world.path.unlink()
    vault = await world.open()
    await put(vault, "OTHER", "value")
    await vault.rotate()

    world.path.write_text(world.path.read_text() + lost)
    assert await (await world.open()).read("churn", "KEY") == "value"


def test_the_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "deep" / "secrets.keys")
    assert keys.keys() == []
    key = keys.add()
    path = tmp_path / "deep" / "secrets.keys"
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.material not in path.read_bytes()
    assert "material" not in repr(key)

    path.chmod(0o640)
    with pytest.raises(KeyFileUnusable, match="chmod 600"):
        keys.keys()
    path.chmod(0o600)
    assert keys.keys() == [key]


@pytest.mark.parametrize("content", ["what?", "abc def", "0a1b c2hvcnQ=", "one two three"])
def test_a_key_file_that_is_none_is_refused_with_its_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileUnusable, match="line 1 is no key"):
        KeyFile(path).keys()


def test_a_pipe_in_its_place_does_not_hold_up_the_host(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "secrets.keys", 0o600)
    with pytest.raises(KeyFileUnusable, match="no file"):
        KeyFile(tmp_path / "secrets.keys").keys()


def test_what_was_tampered_with_does_not_open(tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "keys").add()
    sealed = seal(key, "churn", "KEY", "value")
    assert unseal(key, "churn", "KEY", sealed) == "value"
    assert seal(key, "churn", "KEY", "value") != sealed
    for broken in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:5], b""):
        with pytest.raises(NotOpened):
            unseal(key, "churn", "KEY", broken)


async def test_when_it_was_set_and_by_whom_is_told(world: World) -> None:
    vault = await world.open()
    await put(vault, "KEY", "value")
    await vault.write("churn", "SESSION", "value", by="churn-1-ab", origin=PLUGIN)

    told = {info.name: info for info in (await world.open()).list()}
    assert (told["KEY"].origin, told["KEY"].set_by) == (OPERATOR, "dana")
    assert (told["SESSION"].origin, told["SESSION"].set_by) == (PLUGIN, "churn-1-ab")
    assert abs(datetime.now(UTC) - told["KEY"].set_at).total_seconds() < 60
