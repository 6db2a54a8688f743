"""Ordinary work goes on in the sandbox, and what is refused is refused as an error that libraries know."""

from __future__ import annotations

import os
import platform

import pytest
from positive import further, libraries, refused, standard

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
#: Of the short form, and of the whole.
SHORT = (libraries, standard, refused)
WHOLE = (*SHORT, further)
OWN = ".".join(platform.python_version_tuple()[:2])
#: Whose threads are bounded: nobody else's on this machine, nor another test run's.
UID = 200_000 + os.getpid() % 100_000
CODE = "import positive; positive.attempt({module!r}, {function!r})"
TOGETHER = "import positive; value = positive.attempt_all({module!r})"


def pieces(modules) -> list[tuple[str, str]]:
    return [(module.__name__.rpartition(".")[2], work.__name__) for module in modules for work in module.WORK]


def blocked(stage, start: str) -> list[str]:
    """Runs each piece of work in a worker of its own; those that did not come to their ends, and why."""
    codes = [CODE.format(module=module, function=function) for module, function in pieces(WHOLE)]
    results = stage.run(*(stage.job(code, start=start, uid=UID) for code in codes), echo=True)
    return [
        f"{'.'.join(piece)}: {result['outcome']} {result.get('text') or result.get('sentence', '')}"
        for piece, result in zip(pieces(WHOLE), results, strict=True)
        if result.get("outcome") != "escaped"
    ]


def blocked_together(stage) -> list[str]:
    """The short form, quicker: one worker for each module."""
    names = dict.fromkeys(module for module, _ in pieces(SHORT))
    jobs = [stage.job(TOGETHER.format(module=name), uid=UID) for name in names]
    found: dict[str, str] = {}
    for result in stage.run(*jobs, echo=True):
        assert "value" in result, result
        found |= result["value"]
    assert set(found) == {".".join(piece) for piece in pieces(SHORT)}
    return [f"{name}: {problem}" for name, problem in found.items() if problem]


def keep(ran, modules, title: str, found: list[str]) -> None:
    ran.append(type("Ran", (), {"title": title, "tried": len(pieces(modules)), "blocked": found}))


@pytest.mark.parametrize("host", ["root", "user"])
def test_ordinary_work_goes_on(staged, ran, shared_python, host) -> None:
    """The short form: this machine's own Python."""
    if host == "root" and os.geteuid() != 0:
        pytest.skip("this needs a host that is root")
    stage, built = staged(OWN, libraries.REQUIREMENTS, shared_python, user=host == "user")
    found = blocked_together(stage)
    keep(ran, SHORT, f"{host}, forked, Python {built.environment.python} with {built.versions}", found)
    assert not found, "\n".join(found)


@pytest.mark.hostile
@pytest.mark.parametrize("start", ["zygote", "fresh"])
@pytest.mark.parametrize("minor", PYTHONS)
def test_on_every_python(staged, ran, minors, minor, start) -> None:
    if minor not in minors:
        pytest.skip(f"missing on this machine: Python {minor}")
    stage, built = staged(minor, (*libraries.REQUIREMENTS, *further.REQUIREMENTS))
    found = blocked(stage, start)
    how = "forked" if start == "zygote" else "fresh"
    keep(ran, WHOLE, f"{how}, Python {built.environment.python} with {built.versions}", found)
    assert not found, "\n".join(found)


def test_refused_work_is_possible_without_the_sandbox(staged, shared_python) -> None:
    """Else its refusal would prove nothing."""
    stage, _ = staged(OWN, libraries.REQUIREMENTS, shared_python, user=True)
    for name in ("programs", "servers"):
        job = stage.job(f"import sys; sys.path.insert(0, {str(stage.base / 'sdk')!r}); {_code(name)}")
        assert stage.plain(job)["outcome"] == "AssertionError"


def _code(name: str) -> str:
    return CODE.format(module="refused", function=name)


def test_every_piece_of_work_is_listed() -> None:
    for module in WHOLE:
        own = {name for name, value in vars(module).items() if callable(value) and value.__module__ == module.__name__}
        assert {name for name in own if not name.startswith("_")} == {function.__name__ for function in module.WORK}
