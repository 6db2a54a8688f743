"""The embedding page: its code compiles and imports what exists, and it names every event and operation."""

import asyncio
import re
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moorage.app import Fate, Host, Taken
from moorage.events import events
from moorage.models.execution import Execution, ExecutionState

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()


def test_its_code_runs_up_to_opening_a_host(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "moorage.toml").write_text('state_dir = "state"\n')
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 9

    for number, block in enumerate(blocks):
        exec(compile(block, f"embedding.md, block {number}", "exec"), {})


def test_every_event_is_named() -> None:
    announced = {
        name
        for name, found in vars(events).items()
        if isinstance(found, type) and issubclass(found, events.Event) and found.__module__ == events.__name__
    }
    bases = {"Event", "ExecutionEvent"}

    assert {name for name in announced - bases if f"`{name}`" not in PAGE} == set()


def test_every_operation_is_named() -> None:
    operations = {name for name, found in vars(Host).items() if not name.startswith("_") and callable(found)}

    assert {name for name in operations if not re.search(rf"\b{name}\b", PAGE)} == set()


async def test_the_source_on_the_page_works_off_a_folder(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "moorage.toml").write_text('state_dir = "state"\n')
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "yield Signal" in block]
    exec(compile(block, "embedding.md", "exec"), names)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.csv", "b.csv", "c.txt"):
        (folder / name).write_text(name)

    signals = names["inbox"]({"folder": folder})
    async with aclosing(signals):
        first = await signals.__anext__()
        assert (first.key, first.input) == ("a.csv", {"name": "a.csv", "text": "a.csv"})
        assert (folder / "a.csv").exists()
        second = await signals.asend(taken_as(Fate.DONE))
        assert (second.key, (folder / "a.csv").exists()) == ("b.csv", False)
        after = asyncio.ensure_future(signals.asend(taken_as(Fate.POISON)))
        await asyncio.sleep(0)
        assert sorted(path.name for path in folder.iterdir()) == ["b.failed", "c.txt"]
        after.cancel()
        await asyncio.wait((after,))


def taken_as(fate: Fate) -> Taken:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    return Taken(Execution("e-1", "churn", "churn", "1", "imported", "source", ExecutionState.SUCCEEDED, now), fate)
