"""The embedding page: its code compiles and imports what exists, and it names every event and operation."""

import re
from pathlib import Path

from moorage.app import Host
from moorage.events import events

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()


def test_its_code_runs_up_to_opening_a_host(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "moorage.toml").write_text('state_dir = "state"\n')
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 7

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
