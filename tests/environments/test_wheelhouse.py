from __future__ import annotations

from pathlib import Path

from moorage.environments.wheelhouse import Wheelhouse


def _folder(place: Path, *names: str) -> Path:
    place.mkdir(parents=True)
    for name in names:
        (place / name).touch()
    return place


def test_wheels_are_listed_as_an_index(tmp_path: Path) -> None:
    first = _folder(tmp_path / "a b", "Foo_Bar-1.0-py3-none-any.whl", "notes.txt", "odd.whl")
    second = _folder(tmp_path / "c", "foo_bar-2.0.tar.gz", "Foo_Bar-1.0-py3-none-any.whl", "baz-1.0-py3-none-any.whl")
    address = Wheelhouse([first, second, tmp_path / "missing"], tmp_path / "indexes").index()
    folder = Path(address.removeprefix("file://"))
    assert sorted(entry.name for entry in folder.iterdir()) == ["baz", "foo-bar"]
    page = (folder / "foo-bar/index.html").read_text()
    assert f'<a href="{first.as_uri()}/Foo_Bar-1.0-py3-none-any.whl">Foo_Bar-1.0-py3-none-any.whl</a>' in page
    assert f"{second.as_uri()}/foo_bar-2.0.tar.gz" in page
    assert f"{second.as_uri()}/Foo_Bar" not in page


def test_the_address_changes_with_what_is_listed(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "wheels", "foo-1.0-py3-none-any.whl")
    wheelhouse = Wheelhouse([folder], tmp_path / "indexes")
    first = wheelhouse.index()
    assert wheelhouse.index() == first
    (folder / "foo-2.0-py3-none-any.whl").touch()
    assert wheelhouse.index() != first


def test_an_empty_wheelhouse_is_no_index(tmp_path: Path) -> None:
    assert Wheelhouse([_folder(tmp_path / "wheels")], tmp_path / "indexes").index() == ""
