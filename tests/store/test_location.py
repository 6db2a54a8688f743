"""What the settings say of the store, and that its password is nobody's business."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from moorage.config.settings import Settings, SettingsInvalid
from moorage.config.store import StoreSettings
from moorage.store import postgresql
from moorage.store.errors import PostgresClientMissing, StoreFailed, StoreUrlInvalid
from moorage.store.location import location
from moorage.store.store import Store

FILE = Path("state/moorage.db")


def test_by_default_it_is_a_file() -> None:
    assert location(StoreSettings(), FILE).render_as_string() == "sqlite:///state/moorage.db"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_variables_of_the_environment_count_part_by_part(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "p@ss/w:rd#$HOME")
    url = location(StoreSettings(url=f"{scheme}://moorage:${{STORE_PASSWORD}}@db:5433/moorage"), FILE)

    assert (url.drivername, url.username, url.password) == ("postgresql+psycopg", "moorage", "p@ss/w:rd#$HOME")
    assert (url.host, url.port, url.database) == ("db", 5433, "moorage")


def test_the_password_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    (tmp_path / "moorage.toml").write_text(
        '[store]\nurl = "postgresql://moorage@db/moorage"\npassword_file = "password"'
    )

    assert location(Settings.load(tmp_path / "moorage.toml").store, FILE).password == "s3cret"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "postgresql://moorage:${NOT_THERE_AT_ALL}@db/moorage"}, "NOT_THERE_AT_ALL that it names is not set"),
        ({"url": "postgresql://moorage:hidden@db:port/moorage"}, "it cannot be read"),
        ({"url": "postgresql://moorage:hidden@db/moorage", "password_file": "/x"}, "leave one of them out"),
        ({"url": "postgresql://moorage@db/moorage", "password_file": "/no/such/file"}, "No such file"),
    ],
)
def test_what_cannot_be_used_is_said_without_the_password(settings: dict[str, str], problem: str) -> None:
    with pytest.raises(StoreUrlInvalid, match=problem) as caught:
        location(StoreSettings(**settings), FILE)
    assert "hidden" not in str(caught.value)


def test_other_databases_are_refused_without_the_password(tmp_path: Path) -> None:
    (tmp_path / "moorage.toml").write_text('[store]\nurl = "mysql://moorage:hidden@db/moorage"')
    with pytest.raises(SettingsInvalid, match="begins with postgresql://") as caught:
        Settings.load(tmp_path / "moorage.toml")
    assert "hidden" not in str(caught.value)
    with pytest.raises(ValidationError) as raw:
        StoreSettings(url="mysql://moorage:hidden@db/moorage")
    assert "hidden" not in str(raw.value)


def test_nothing_that_is_printed_has_the_password() -> None:
    settings = Settings(store=StoreSettings(url="postgresql://moorage:hidden@db/moorage"))
    store = Store(location(settings.store, FILE))
    printed = [
        repr(settings),
        settings.model_dump_json(),
        repr(store),
        repr(store._database),
        repr(vars(store._database)),
    ]
    assert not any("hidden" in text for text in printed)


def test_a_missing_client_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "INSTALLED", False)
    with pytest.raises(PostgresClientMissing, match=r'pip install "moorage\[postgresql\]"'):
        Store("postgresql+psycopg://moorage@db/moorage")


async def test_a_server_that_is_not_there_is_a_sentence_without_its_address() -> None:
    with pytest.raises(StoreFailed, match=r"cannot be used .*refused") as caught:
        await Store("postgresql+psycopg://moorage:hidden@127.0.0.1:1/moorage").open()
    assert "127.0.0.1" not in str(caught.value)
    assert "hidden" not in str(caught.value)
