"""What an application is told, and asked, in the life of an installation: the action, and the events in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host, Refused
from moorage.app.hooks import StepRefused
from moorage.events.events import Event, ExecutionEvent
from moorage.events.steps import Disabling, Enabling, Step
from moorage.models.execution import ExecutionRequest
from moorage.models.installation import DesiredState

TIMEOUT_SECONDS = 30

CODE = """
    import os
    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute() -> int:
        return 1

    @plugin.task
    def die() -> None:
        os._exit(3)
"""


def rewrite(folder: Path, version: str) -> Path:
    project = write_plugin(folder, CODE)
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace('version = "1.0.0"', f'version = "{version}"'))
    return project


def _but_upgrades(lines: list[str]) -> list[str]:
    return [line for line in lines if line != "Upgraded"]


class Book:
    """Notes what an application is asked and told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.changed = asyncio.Condition()

    async def asked(self, step: Step) -> None:
        await self._note(f"{type(step).__name__}?")

    async def told(self, event: Event) -> None:
        if isinstance(event, ExecutionEvent):
            return
        state = getattr(event, "incarnation", None)
        to = f" {state.state}" if state is not None and type(event).__name__ == "StateChanged" else ""
        await self._note(f"{type(event).__name__}{to}")

    async def until(self, expected: list[str]) -> None:
        """Takes the next lines, which have to be these. An upgrade is announced beside what its new worker does."""
        async with self.changed:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self.changed.wait_for(lambda: len(self.lines) >= len(expected))
            finally:
                found, self.lines = self.lines[: len(expected)], self.lines[len(expected) :]
                assert sorted(found) == sorted(expected)
                assert [line for line in found if line != "Upgraded"] == [
                    each for each in expected if each != "Upgraded"
                ]

    async def _note(self, line: str) -> None:
        async with self.changed:
            self.lines.append(line)
            self.changed.notify_all()


UP = ["StateChanged ready", "Loaded"]
DOWN = ["StateChanged draining", "StateChanged stopped", "Unloaded"]

Action = Callable[[Host, Path], Awaitable[object]]

#: One after the other: what is done, and what follows.
STORY: list[tuple[str, Action, list[str]]] = [
    ("install", lambda host, path: host.install(path), ["Installed"]),
    ("start", lambda host, path: host.start("probe"), UP),
    ("disable", lambda host, path: host.disable("probe"), ["Disabling?", "Disabled", *DOWN]),
    ("disable again", lambda host, path: host.disable("probe"), []),
    ("enable", lambda host, path: host.enable("probe"), ["Enabling?", "Enabled", *UP]),
    ("enable again", lambda host, path: host.enable("probe"), []),
    ("stop", lambda host, path: host.stop("probe"), DOWN),
    ("run", lambda host, path: host.call("probe"), UP),
    ("hold", lambda host, path: host.stop("probe", hold="later"), ["Held", *DOWN]),
    ("release", lambda host, path: host.release("probe"), ["Released", *UP]),
    ("kill", lambda host, path: host.kill("probe"), DOWN),
    ("scale", lambda host, path: host.scale("probe", 2), ["DesiredChanged"]),
    ("scale back", lambda host, path: host.scale("probe", 1), ["DesiredChanged"]),
    ("start again", lambda host, path: host.start("probe"), UP),
    ("crash", lambda host, path: host.run(ExecutionRequest("probe", "die")), ["StateChanged stopped", "Crashed"]),
    ("it dies once too often", lambda host, path: asyncio.sleep(0), ["Quarantined"]),
    ("release it", lambda host, path: host.release("probe"), ["Released", *UP]),
    ("switch off", lambda host, path: host.switch.off(), ["SwitchChanged", "DesiredChanged", *DOWN]),
    ("switch on", lambda host, path: host.switch.on(), ["SwitchChanged", "DesiredChanged", *UP]),
    ("upgrade", lambda host, path: host.reload("probe"), [*UP, "Upgraded", *DOWN]),
    ("remove", lambda host, path: host.remove("probe", data="delete"), ["Disabling?", "Disabled", *DOWN, "Removed"]),
]


async def test_what_is_asked_and_told_when_something_is_done(open_host, tmp_path: Path, settings) -> None:
    book = Book()
    supervision = settings.supervision.model_copy(update={"restarts": 0})
    path = rewrite(tmp_path, "1.0.0")
    async with open_host(supervision=supervision) as host:
        host.before(Enabling)(book.asked)
        host.before(Disabling)(book.asked)
        host.on()(book.told)
        for name, action, expected in STORY:
            if name == "upgrade":
                rewrite(tmp_path, "2.0.0")
            await action(host, path)
            await book.until(expected)
    assert book.lines == []
    assert [(state.failed, state.dropped) for state in host.handlers] == [(0, 0)]


async def test_a_hook_refuses_and_nothing_has_changed(host: Host, tmp_path: Path) -> None:
    allowed = False

    @host.before(Disabling)
    async def vital(step: Disabling) -> None:
        if not allowed:
            raise Refused(f"the shop is open, {step.by}.")

    @host.before(Enabling)
    def never(step: Enabling) -> None:
        raise Refused("it was withdrawn.")

    await host.install(write_plugin(tmp_path, CODE))
    await host.start("probe")
    sentence = r"probe is not disabled: the shop is open, dana\."
    with pytest.raises(StepRefused, match=sentence):
        await host.disable("probe", by="dana")
    with pytest.raises(StepRefused, match=sentence):
        await host.remove("probe", data="delete", by="dana")
    view = await host.installation("probe")
    assert (view.state, view.installation.desired) == ("ready", DesiredState())
    # What a person does in an emergency is not asked about.
    await host.kill("probe", by="dana")
    await host.stop("probe", hold="broken", by="dana")
    await host.release("probe", by="dana")
    await host.switch.off(by="dana")
    await host.switch.on(by="dana")

    allowed = True
    await host.disable("probe", by="dana")
    with pytest.raises(StepRefused, match=r"probe is not enabled: it was withdrawn\."):
        await host.enable("probe", by="ada")
    assert (await host.installation("probe")).state == "disabled"
    refused = [(entry.action, entry.actor) for entry in await host.audit() if entry.action.startswith("not ")]
    assert refused == [("not disabled", "dana"), ("not disabled", "dana"), ("not enabled", "ada")]


async def test_handlers_are_told_until_the_host_has_stopped_and_again_when_it_opens(settings, tmp_path: Path) -> None:
    host = Host(settings)
    told: list[str] = []

    @host.on()
    def note(event: Event) -> None:
        told.append(type(event).__name__)

    async with host:
        await host.install(write_plugin(tmp_path, CODE))
        await host.start("probe")
    assert told == ["Installed", "StateChanged", "Loaded", "StateChanged", "StateChanged", "Unloaded"]
    told.clear()
    async with host:
        await host.disable("probe")
    assert told == ["Disabled"]
