"""What a zygote does with its memory, so that its workers need little of their own."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
from pathlib import Path

import pytest

import moorage_sandbox
from moorage.environments.interpreters import Interpreters
from moorage_sandbox import gaps

pytestmark = pytest.mark.system

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
SANDBOX = str(Path(moorage_sandbox.__file__).parents[1])

#: Forks, uses what was there before, and tells how many bytes of memory the child has for itself then.
CHILD = """
import asyncio, gc, json, os, sys
sys.path.insert(0, {sandbox!r})
from moorage_sandbox import gaps, immortal

class Counted:
    text = "some text of its own"

def use():
    return [Counted.text for _ in range(100)]

def private_bytes():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:")) * 1024

use()
gc.collect()
made = {prepare}
gc.freeze()
count = sys.getrefcount(Counted.text)
reader, writer = os.pipe()
if os.fork() == 0:
    before = private_bytes()
    asyncio.run(asyncio.sleep(0))
    use()
    os.write(writer, json.dumps(private_bytes()).encode())
    os._exit(0)
os.wait()
used = use()
print(json.dumps({{
    "made": made, "possible": immortal.possible(), "private": json.loads(os.read(reader, 64)),
    "counted": sys.getrefcount(Counted.text) > count, "used": len(used),
}}))
"""


def told(python: Path, prepare: str) -> dict:
    """Ends as Python ends: whatever is in order then, is told."""
    program = CHILD.format(sandbox=SANDBOX, prepare=prepare)
    ran = subprocess.run([python, "-I", "-S", "-c", program], capture_output=True, check=True, timeout=60)
    assert ran.stderr == b""
    return json.loads(ran.stdout)


@functools.cache
def pythons() -> dict[str, Path]:
    return {found.minor: found.path for found in asyncio.run(Interpreters().found())}


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> Path:
    if request.param not in pythons():
        pytest.skip(f"there is no Python {request.param} here")
    return pythons()[request.param]


def test_what_was_there_before_the_fork_is_not_counted_where_python_can(python: Path) -> None:
    usual = told(python, "0")
    shared = told(python, "immortal.immortalise()")
    assert usual["counted"]
    assert shared["used"] == 100
    if shared["possible"]:
        assert shared["made"] > 10_000
        assert not shared["counted"]
        assert shared["private"] < usual["private"]
    else:
        assert shared["made"] == 0
        assert shared["counted"]


@pytest.mark.parametrize("minor", ["3.12", "3.13"])
def test_the_counts_of_these_versions_are_known(minor: str) -> None:
    if minor not in pythons():
        pytest.skip(f"there is no Python {minor} here")
    assert told(pythons()[minor], "immortal.immortalise()")["possible"]


def test_gaps_are_filled_with_about_a_megabyte(python: Path) -> None:
    shared = told(python, "gaps.fill() or sum(each.__sizeof__() for made in gaps._keep for each in made)")
    assert 2**18 < shared["made"] < 2**22


def test_objects_of_each_size_have_that_size() -> None:
    for size in range(16, 513, 16):
        assert {-each.__sizeof__() // 16 for each in gaps._objects(size, 3)} == {-size // 16}
