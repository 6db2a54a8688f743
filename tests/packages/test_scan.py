from __future__ import annotations

import os
from pathlib import Path

import pytest

from moorage.packages.scan import scan

PLUGIN = '[project]\nname = "{}"\nversion = "1.0"\n[tool.moorage]\nplugin = "churn.plugin:plugin"\n'


def _names(result) -> list[str]:
    return [plugin.manifest.name for plugin in result.found]


def test_plugins_are_found_in_folders_and_subfolders(make_project, tmp_path: Path) -> None:
    make_project(PLUGIN.format("one"), "a/one")
    make_project(PLUGIN.format("two"), "a/deep/er/two")
    make_project(PLUGIN.format("three"), "b")
    result = scan([tmp_path / "b", tmp_path / "a"])
    assert _names(result) == ["three", "two", "one"]
    assert result.found[1].path == tmp_path / "a/deep/er/two"
    assert (result.broken, result.warnings) == ((), ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[project", "this is not TOML"),
        ("", None),
        ("[project]\nname = 'workspace'", None),
        ("[tool.moorage]\nplugin = 3", "has to be a text"),
        ("[[tool.moorage]]\nplugin = 'a:b'", "has to be a table"),
    ],
)
def test_a_broken_plugin_never_stops_the_others(make_project, tmp_path: Path, text: str, words: str | None) -> None:
    broken = make_project(text, "a")
    make_project(PLUGIN.format("good"), "b")
    result = scan([tmp_path])
    assert _names(result) == ["good"]
    assert [entry.path for entry in result.broken] == ([broken] if words else [])
    assert all(words in entry.problem and str(broken) in entry.problem for entry in result.broken)


def test_plugins_below_a_project_that_is_none_are_found(make_project, tmp_path: Path) -> None:
    make_project("[project]\nname = 'workspace'", "work")
    make_project(PLUGIN.format("inner"), "work/plugins/inner")
    assert _names(scan([tmp_path])) == ["inner"]


def test_two_plugins_in_one_folder_are_refused(make_project, tmp_path: Path) -> None:
    outer = make_project(PLUGIN.format("outer"), "outer")
    inner = make_project(PLUGIN.format("inner"), "outer/extras/inner")
    make_project(PLUGIN.format("good"), "good")
    result = scan([tmp_path])
    assert _names(result) == ["good"]
    assert [entry.path for entry in result.broken] == [outer]
    assert f"the one in {inner}" in result.broken[0].problem
    assert "split them" in result.broken[0].problem


def test_a_project_inside_a_plugin_that_is_no_plugin_is_no_matter(make_project, tmp_path: Path) -> None:
    make_project(PLUGIN.format("outer"), "outer")
    make_project("[project]\nname = 'data'", "outer/tests/data")
    make_project("[broken", "outer/tests/broken")
    assert _names(scan([tmp_path])) == ["outer"]


def test_of_two_plugins_with_one_name_the_second_is_refused(make_project, tmp_path: Path) -> None:
    first = make_project(PLUGIN.format("Same_Name"), "a")
    second = make_project(PLUGIN.format("same-name"), "b")
    make_project(PLUGIN.format("other"), "c")
    result = scan([tmp_path])
    assert _names(result) == ["same-name", "other"]
    assert [entry.path for entry in result.broken] == [second]
    assert str(first) in result.broken[0].problem
    assert str(second) in result.broken[0].problem


def test_vendored_copies_of_moorage_are_skipped_with_a_warning(make_project, tmp_path: Path) -> None:
    plugin = make_project(PLUGIN.format("churn"), "churn")
    (plugin / "moorage_sdk").mkdir()
    (plugin / "src/moorage_proto").mkdir(parents=True)
    make_project("[project]\nname = 'Moorage.SDK'", "sdk")
    make_project(PLUGIN.format("moorage-proto"), "proto")
    result = scan([tmp_path])
    assert _names(result) == ["churn"]
    assert result.broken == ()
    assert [warning.split(" ")[0] for warning in result.warnings] == [
        str(plugin / "src/moorage_proto"),
        str(plugin / "moorage_sdk"),
        str(tmp_path / "proto"),
        str(tmp_path / "sdk"),
    ]


@pytest.mark.parametrize("hidden", [".venv", ".git", "node_modules", "__pycache__", "environment/lib"])
def test_folders_of_tools_are_not_looked_into(make_project, tmp_path: Path, hidden: str) -> None:
    make_project(PLUGIN.format("hidden"), f"{hidden}/plugin")
    (tmp_path / hidden.split("/", maxsplit=1)[0] / "pyvenv.cfg").touch()
    assert _names(scan([tmp_path])) == []
    (tmp_path / hidden.split("/", maxsplit=1)[0]).rename(tmp_path / "visible")
    (tmp_path / "visible/pyvenv.cfg").unlink()
    assert _names(scan([tmp_path])) == ["hidden"]


def test_links_are_followed_and_circles_end(make_project, tmp_path: Path) -> None:
    project = make_project(PLUGIN.format("linked"), "elsewhere/linked")
    scanned = tmp_path / "scanned"
    scanned.mkdir()
    (scanned / "linked").symlink_to(project)
    (scanned / "self").symlink_to(scanned)
    (scanned / "parent").symlink_to(tmp_path)
    (scanned / "nowhere").symlink_to("nowhere")
    result = scan([scanned, scanned])
    assert _names(result) == ["linked"]
    assert result.broken == ()


def test_a_link_inside_a_plugin_to_its_parent_ends(make_project, tmp_path: Path) -> None:
    project = make_project(PLUGIN.format("churn"), "plugins/churn")
    make_project(PLUGIN.format("other"), "plugins/other")
    (project / "up").symlink_to(tmp_path)
    assert _names(scan([tmp_path])) == ["churn", "other"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_a_folder_that_may_not_be_read_never_stops_the_others(make_project, tmp_path: Path, mode: int) -> None:
    closed = make_project(PLUGIN.format("closed"), "a")
    make_project(PLUGIN.format("good"), "b")
    closed.chmod(mode)
    try:
        assert "good" in _names(scan([tmp_path]))
    finally:
        closed.chmod(0o700)


def test_a_folder_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    assert "not a folder" in scan([tmp_path / "missing"]).warnings[0]


def test_a_manifest_that_is_a_dangling_link_is_reported(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").symlink_to("nowhere")
    assert "cannot be read" in scan([tmp_path]).broken[0].problem
