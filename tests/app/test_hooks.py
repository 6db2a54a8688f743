"""What the application's hooks make of a step that somebody wants to take."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from moorage.app.hooks import Hooks, Refused, StepRefused
from moorage.events.steps import Disabling, Enabling, Step

ENABLING, DISABLING = Enabling("churn", "dana", "it is mended"), Disabling("churn", "dana", "")
SOON, LONG = timedelta(seconds=0.02), timedelta(seconds=5)


class Trail:
    def __init__(self) -> None:
        self.entries: list[tuple[str, str, str, str]] = []

    async def act(self, action: str, installation: str, by: str, message: str) -> None:
        self.entries.append((action, installation, by, message))


async def broken(step: Step) -> None:
    raise LookupError("no such shop")


async def hanging(step: Step) -> None:
    await asyncio.sleep(3600)


async def test_what_nobody_refuses_is_done() -> None:
    hooks, trail, asked = Hooks(), Trail(), []
    hooks.add(Enabling, asked.append, failing=None, timeout=LONG)
    await hooks.ask(ENABLING, trail.act)
    await hooks.ask(DISABLING, trail.act)
    assert (asked, trail.entries) == ([ENABLING], [])


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("a checkout is open.", "churn is not disabled: a checkout is open."),
        ("", "does not say why."),
    ],
)
async def test_a_refusal_is_told_and_kept_in_the_audit(reason: str, sentence: str) -> None:
    hooks, trail, later = Hooks(), Trail(), []

    async def refuse(step: Disabling) -> None:
        raise Refused(*([reason] if reason else []))

    hooks.add(Disabling, refuse, failing=None, timeout=LONG)
    hooks.add(Disabling, later.append, failing=None, timeout=LONG)
    with pytest.raises(StepRefused) as refused:
        await hooks.ask(DISABLING, trail.act)
    assert sentence in str(refused.value)
    assert [entry[:3] for entry in trail.entries] == [("not disabled", "churn", "dana")]
    assert later == []


@pytest.mark.parametrize(("function", "words"), [(broken, "failed: LookupError"), (hanging, "within 0.02 s")])
@pytest.mark.parametrize(
    ("step", "failing", "refused"),
    [
        (ENABLING, None, True),
        (DISABLING, None, False),
        (ENABLING, "allows", False),
        (DISABLING, "refuses", True),
    ],
)
async def test_a_hook_that_fails_or_hangs(function, words, step, failing, refused, caplog) -> None:
    hooks, trail = Hooks(), Trail()
    hooks.add(type(step), function, failing=failing, timeout=SOON)
    if refused:
        with pytest.raises(StepRefused, match=words):
            await hooks.ask(step, trail.act)
    else:
        await hooks.ask(step, trail.act)
    assert words in caplog.text
    assert len(trail.entries) == refused


def test_what_cannot_be_refused_has_no_hooks() -> None:
    with pytest.raises(TypeError, match="Enabling or Disabling"):
        Hooks().add(Step, print, failing=None, timeout=LONG)
