"""What a worker's dump of its threads is read as, and what of its output is a dump."""

from __future__ import annotations

import faulthandler
import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.supervisor.stacks import DumpCutter, Places, answers, own_frame, parse, read

PLACES = Places.of(Path("/state/code/abc"), ("src",))

LINK = """\
Thread 0x00007f01 (most recent call first):
  File "/usr/lib/python3.11/selectors.py", line 468 in select
  File "/sdk/moorage_sdk/worker/link.py", line 150 in _run
"""
MAIN = """\
Current thread 0x00007f02 (most recent call first):
{above}  File "/plugin/src/geo/index.py", line 88 in build
  File "/plugin/src/geo/plugin.py", line 12 in execute
  File "/sdk/moorage_sdk/worker/bootstrap.py", line 50 in main
"""
BUSY = f"{LINK}\n{MAIN.format(above='')}"
IMPORT = """\
  File "/venv/lib/python3.11/site-packages/numpy/core/multiarray.py", line 10 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "/venv/lib/python3.11/site-packages/numpy/__init__.py", line 100 in <module>
  File "<frozen importlib._bootstrap>", line 1178 in _find_and_load
"""


def test_the_plugins_newest_frame_is_found_in_the_main_thread() -> None:
    stack = read(BUSY.splitlines(), PLACES)

    assert stack.where == "geo/index.py:88 build()"
    assert stack.doing == "in build(), geo/index.py:88"
    assert stack.text.splitlines()[0].startswith("Current thread")
    assert "/sdk/moorage_sdk/worker/link.py" in stack.text


@pytest.mark.parametrize(
    ("above", "doing"),
    [
        (IMPORT, "importing numpy, in geo/index.py:88"),
        ('  File "<frozen importlib._bootstrap>", line 9 in create_module\n', "importing a module of native code, in "),
        ('  File "/usr/lib/python3.11/socket.py", line 9 in create\n', "in build(), geo/index.py:88"),
    ],
)
def test_a_slow_import_is_named(above: str, doing: str) -> None:
    assert read(MAIN.format(above=above).splitlines(), PLACES).doing.startswith(doing)


def test_code_at_the_top_level_of_a_module_is_named_by_its_place() -> None:
    text = 'Thread 0x1 (most recent call first):\n  File "/plugin/churn.py", line 3 in <module>'
    assert read(text.splitlines(), PLACES).doing == "at churn.py:3, at the top level of its module"
    assert read(text.splitlines(), PLACES).where == "churn.py:3"


@pytest.mark.parametrize("text", ["", "nonsense", "Thread 0x1 (most recent call first):\n  <no Python frame>"])
def test_a_dump_that_tells_nothing_of_the_plugin(text: str) -> None:
    stack = read(text.splitlines(), PLACES)
    assert (stack.where, stack.doing) == ("", "")


def test_below_full_the_code_lies_where_the_host_has_it() -> None:
    assert PLACES.own("/state/code/abc/src/geo/index.py") == "geo/index.py"
    assert PLACES.own("/plugin/setup.py") == "setup.py"
    assert PLACES.own("/plugins/other.py") == ""


def test_what_python_really_writes_is_understood() -> None:
    done, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        done.wait(10)

    thread = threading.Thread(target=wait)
    thread.start()
    assert begun.wait(10)
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        written = file.read()
    done.set()
    thread.join(10)

    threads = parse(written.decode().splitlines())

    assert len(threads) == written.count(b"hread 0x") > 1
    assert sum(len(each.frames) for each in threads) == written.count(b"  File ")
    assert own_frame(threads, Places((os.path.dirname(__file__) + "/",))).startswith("test_stacks.py:")
    assert cut(written, asked=True) == (written.rstrip(b"\n").split(b"\n"), [])


def cut(written: bytes, *, asked: bool, step: int = 1) -> tuple[list[bytes], list[bytes]]:
    """What was taken for the dump, and what was left."""
    cutter, rest = DumpCutter(), []
    if asked:
        cutter.expect()
    lines = written.rstrip(b"\n").split(b"\n")
    for start in range(0, len(lines), step):
        rest += cutter.feed(lines[start : start + step])
    return (cutter.asked if asked else cutter.unasked), rest


@given(st.integers(1, 20))
def test_a_dump_that_was_asked_for_is_no_part_of_the_log(step: int) -> None:
    dump = BUSY.encode().rstrip(b"\n")

    taken, rest = cut(b"before\n\n" + dump + b"\n\nafter\n  File is no frame", asked=True, step=step)

    assert taken == dump.split(b"\n")
    assert rest == [b"before", b"", b"", b"after", b"  File is no frame"]


def test_words_of_other_threads_in_the_middle_of_it_stay_in_the_log() -> None:
    first, second = BUSY.encode().rstrip(b"\n").split(b"\n\n")

    taken, rest = cut(first + b"\nhello\n" + second, asked=True)

    assert taken == [*first.split(b"\n"), *second.split(b"\n")]
    assert rest == [b"hello"]


def test_a_dump_that_nobody_asked_for_is_kept_and_stays_in_the_log() -> None:
    """The plugin's own, or Python's as it dies: last words are last words."""
    written = b"Fatal Python error: Segmentation fault\n\n" + BUSY.encode().rstrip(b"\n")

    taken, rest = cut(written, asked=False)

    assert taken == rest == written.split(b"\n")
    assert read([line.decode() for line in taken], PLACES).where == "geo/index.py:88 build()"


def test_death_while_a_dump_is_awaited_is_not_taken_for_it() -> None:
    taken, rest = cut(b"Fatal Python error: Aborted\n\n" + BUSY.encode(), asked=True)
    assert taken == []
    assert rest[0] == b"Fatal Python error: Aborted"


@given(st.lists(st.sampled_from([b"", b"x", b"Thread 0x1 (most recent call first):", b'  File "a", line 1 in f'])))
def test_no_line_is_lost_but_empty_ones_of_a_dump(lines: list[bytes]) -> None:
    for asked in (True, False):
        cutter = DumpCutter()
        if asked:
            cutter.expect()
        rest = cutter.feed([*lines, b"end"])
        kept = [*rest, *cutter.asked]
        assert sorted(line for line in kept if line) == sorted(line for line in [*lines, b"end"] if line)


def test_a_forged_dump_without_an_end_is_bounded() -> None:
    cutter = DumpCutter()
    cutter.expect()
    cutter.feed([b"Thread 0x1 (most recent call first):"])
    for _ in range(100):
        cutter.feed([b'  File "/plugin/x.py", line 1 in ' + b"f" * 1000] * 100)

    assert len(cutter.asked) <= 2_000
    stack = read([line.decode() for line in cutter.asked], PLACES)
    assert len(stack.text) < 65_000


def test_nothing_is_kept_of_empty_lines_without_an_end() -> None:
    cutter = DumpCutter()
    cutter.expect()

    rest = cutter.feed([b"Thread 0x1 (most recent call first):", *[b""] * 10_000])

    assert rest == [b""] * 10_000
    assert cutter.asked == [b"Thread 0x1 (most recent call first):"]
    assert cutter.feed([b'  File "/plugin/x.py", line 1 in f']) == [b'  File "/plugin/x.py", line 1 in f']


def test_whether_the_signal_is_handled_stands_in_the_process_status() -> None:
    assert answers("Name:\tpython\nSigCgt:\t1000000000000000\n")
    assert not answers("Name:\tpython\nSigCgt:\t0fffffffffffffff\n")
    assert not answers("")
    assert not answers(Path("/proc/self/status").read_text())
