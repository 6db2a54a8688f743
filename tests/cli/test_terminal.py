"""The developer's terminal: questions, answers, and what is printed in between."""

from __future__ import annotations

import asyncio
import io

from moorage.cli.terminal import Terminal


async def test_a_line_in_between_leaves_the_question_readable():
    screen = io.StringIO()
    terminal = Terminal(io.StringIO(), screen)
    question = asyncio.create_task(terminal.read_line("probe", "(Pdb) "))
    await asyncio.sleep(0)
    with terminal.aside():
        screen.write("12:00:00 INFO hello\n")
    async with asyncio.timeout(5):
        assert await question is None
    assert screen.getvalue() == "(Pdb) \n12:00:00 INFO hello\n(Pdb) "


def test_without_a_question_nothing_is_added():
    screen = io.StringIO()
    with Terminal(io.StringIO(), screen).aside():
        screen.write("12:00:00 INFO hello\n")
    assert screen.getvalue() == "12:00:00 INFO hello\n"
