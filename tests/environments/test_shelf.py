from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from moorage.environments.shelf import Facts, Shelf

KEY = "abc"

MAKER = """
import asyncio, sys
from pathlib import Path
from moorage.environments.shelf import Shelf

async def fill(folder):
    (folder / "half").write_text("half")
    print("filling", flush=True)
    await asyncio.sleep(600)

asyncio.run(Shelf(Path(sys.argv[1])).make(sys.argv[2], fill))
"""


async def _fill(folder: Path) -> Facts:
    (folder / "file").write_text("whole")
    return {"made": "yes"}


async def test_a_folder_is_made_once_and_remembers(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    assert shelf.find(KEY) is None
    folder = await shelf.make(KEY, _fill)
    assert (folder / "file").read_text() == "whole"
    assert shelf.find(KEY) == folder
    assert shelf.facts(KEY) == {"made": "yes"}
    (folder / "file").write_text("kept")
    assert await shelf.make(KEY, _fill) == folder
    assert (folder / "file").read_text() == "kept"


async def test_of_many_makers_one_makes_and_the_others_wait(tmp_path: Path) -> None:
    made = []

    async def fill(folder: Path) -> Facts:
        made.append(folder)
        await asyncio.sleep(0)
        return await _fill(folder)

    async with asyncio.timeout(10):
        folders = await asyncio.gather(*(Shelf(tmp_path).make(KEY, fill) for _ in range(8)))
    assert len(made) == 1
    assert set(folders) == {tmp_path / KEY}


@pytest.mark.parametrize("ending", [RuntimeError, asyncio.CancelledError])
async def test_a_failed_or_cancelled_filling_leaves_nothing(tmp_path: Path, ending: type[BaseException]) -> None:
    shelf = Shelf(tmp_path)

    async def fill(folder: Path) -> Facts:
        (folder / "half").touch()
        raise ending

    with pytest.raises(ending):
        await shelf.make(KEY, fill)
    assert [entry.name for entry in tmp_path.iterdir()] == [".locks"]
    assert shelf.find(KEY) is None
    await shelf.make(KEY, _fill)


def _killed_maker(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", MAKER, str(root), KEY], stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "filling\n"
        assert Shelf(root).find(KEY) is None
        # Nobody takes away what is being made.
        assert Shelf(root).collect(set()) == ()
        maker.kill()


@pytest.mark.system
async def test_a_killed_maker_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    _killed_maker(tmp_path)
    assert any(entry.name.startswith(".build-") for entry in tmp_path.iterdir())
    assert Shelf(tmp_path).find(KEY) is None
    await Shelf(tmp_path).make(KEY, _fill)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".locks", KEY]


@pytest.mark.system
def test_leavings_of_killed_makers_are_collected(tmp_path: Path) -> None:
    _killed_maker(tmp_path)
    Shelf(tmp_path).collect({KEY})
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != ".locks"] == []


async def test_what_is_not_kept_is_collected(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    await shelf.make("kept", _fill)
    await shelf.make("orphan", _fill)
    (tmp_path / "half").mkdir()
    assert shelf.collect({"kept"}) == ("half", "orphan")
    assert shelf.find("kept") is not None
    assert shelf.find("orphan") is None
    assert Shelf(tmp_path / "missing").collect(set()) == ()


async def test_half_a_folder_in_the_place_of_a_whole_one_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / KEY).mkdir()
    (tmp_path / KEY / "half").touch()
    folder = await Shelf(tmp_path).make(KEY, _fill)
    assert sorted(entry.name for entry in folder.iterdir()) == ["complete.json", "file"]
