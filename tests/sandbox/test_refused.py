"""Machines that lack a layer: nothing starts, and the sentence names layer, reason and remedy."""

from __future__ import annotations

import errno

import pytest

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("lacking", "layer"),
    [
        ({"unshare": errno.EPERM}, {"user", "pid"}),
        ({"mount": errno.EPERM}, {"mount"}),
        ({"pivot_root": errno.EINVAL}, {"mount"}),
        ({"setns": errno.EPERM}, {"pid"}),
        ({"landlock_restrict_self": errno.EPERM}, {"landlock"}),
    ],
    ids="-".join,
)
def test_a_layer_that_fails_is_named(stage, lacking, layer) -> None:
    (result,) = stage.run(stage.job("value = 1"), refuse=lacking)
    assert result["layer"] in layer, result
    assert f"layer '{result['layer']}'" in result["failed"]
    assert errno.errorcode[next(iter(lacking.values()))] in result["failed"]
    assert result["output"] == ""
    (report,) = stage.run(probe=True, refuse=lacking)
    assert report["level"] != "full"
    assert report["missing"][0]["layer"] == result["layer"]
    assert report["missing"][0]["remedy"]


def test_the_same_machine_with_all_layers_is_full(stage) -> None:
    (report,) = stage.run(probe=True)
    assert (report["level"], report["missing"]) == ("full", [])
    assert report["layers"]["landlock"].startswith("ABI ")


def test_landlock_that_is_not_there_is_reported(stage) -> None:
    (report,) = stage.run(probe=True, refuse={"landlock_create_ruleset": errno.ENOSYS})
    assert report["level"] == "full"
    assert [entry["layer"] for entry in report["missing"]] == ["landlock"]


def test_an_import_that_fails_is_told(stage) -> None:
    (result,) = stage.run(stage.job("value = 1"), imports=["asyncio", "no_such_module"])
    assert "no_such_module" in result["failed"]
    assert result["layer"] == "files"


def test_an_import_that_starts_a_thread_is_refused(stage) -> None:
    module = stage.base / "sdk" / "threaded.py"
    module.write_text("import threading, time\nthreading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n")
    (result,) = stage.run(stage.job("value = 1"), imports=["asyncio", "threaded"])
    assert "2 threads" in result["failed"]


def test_a_folder_that_is_missing_is_named(stage) -> None:
    (result,) = stage.run(stage.job("value = 1", runtime=str(stage.base / "absent")))
    assert str(stage.base / "absent") in result["failed"]
    assert "ENOENT" in result["failed"]
    assert result["layer"] == "files"


def test_an_interpreter_that_is_missing_is_named(stage) -> None:
    (result,) = stage.run(stage.job("value = 1", interpreter="/nonexistent/python"))
    assert "/nonexistent/python" in result["failed"]
