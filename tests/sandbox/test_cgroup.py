"""Control groups without any: where they are, what is written, in which order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from moorage_sandbox import cgroup
from moorage_sandbox.cgroup import UNIFIED, Bounds, Group, Hierarchy

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
PLACES = """\
9:name=systemd:/
4:memory:/jobs/17
2:cpu,cpuacct:/
0::/
"""


def test_each_hierarchy_of_use_is_found() -> None:
    assert cgroup.hierarchies(PLACES, HYBRID) == (
        Hierarchy(1, ("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
        Hierarchy(1, ("memory",), "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/jobs/17"),
        Hierarchy(2, (), "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"),
    )


@pytest.mark.parametrize(
    ("root", "place", "folder"),
    [
        ("/", "/user.slice/host.service", "/sys/fs/cgroup/user.slice/host.service"),
        ("/docker/abc", "/docker/abc", "/sys/fs/cgroup"),
        ("/docker/abc", "/docker/abc/inner", "/sys/fs/cgroup/inner"),
        ("/docker/abc", "/docker/abcdef", None),
        ("/", "/../outside", None),
    ],
)
def test_a_group_is_found_below_what_is_mounted(root: str, place: str, folder: str | None) -> None:
    mounts = f"30 23 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    found = [hierarchy.folder for hierarchy in cgroup.hierarchies(f"0::{place}\n", mounts)]
    assert found == ([folder] if folder else [])


def test_blanks_in_a_mount_are_read() -> None:
    mounts = "30 23 0:26 / /mnt/my\\040groups rw - cgroup2 none rw\n"
    assert cgroup.hierarchies("0::/a\n", mounts)[0].folder == "/mnt/my groups/a"


def test_nothing_mounted_is_nothing_found() -> None:
    assert cgroup.hierarchies("0::/\n", "23 1 8:1 / / rw - ext4 /dev/vda rw\n") == ()


def test_members_are_told_from_others() -> None:
    folders = {UNIFIED: "/sys/fs/cgroup/unified", "memory": "/sys/fs/cgroup/memory/jobs/18", "cpu": "/nowhere"}
    assert cgroup.member_of(PLACES, HYBRID, folders) == (UNIFIED,)
    assert cgroup.member_of(PLACES, HYBRID, {**folders, "memory": "/sys/fs/cgroup/memory/jobs/17"}) == (
        UNIFIED,
        "memory",
    )


def test_bounds_of_version_2() -> None:
    assert cgroup.settings(2, Bounds(1 << 20, 64, 0.5)) == (
        ("memory", "memory.max", "1048576"),
        ("memory", "memory.swap.max", "0"),
        ("pids", "pids.max", "64"),
        ("cpu", "cpu.max", "50000 100000"),
    )


def test_bounds_of_version_1_never_pass_a_state_that_the_kernel_refuses() -> None:
    memory = [file for controller, file, _ in cgroup.settings(1, Bounds(1 << 20)) if controller == "memory"]
    assert memory == ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]


def test_the_smallest_quota_is_one_that_the_kernel_takes() -> None:
    assert cgroup.settings(2, Bounds(cpus=0.0001)) == (("cpu", "cpu.max", "1000 100000"),)


def fake(folder: Path, *files: str) -> str:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("")
    return str(folder)


def test_each_bound_is_written_where_its_controller_is(tmp_path: Path) -> None:
    group = Group(
        {
            UNIFIED: fake(tmp_path / "unified", "pids.max", "memory.max", "cgroup.procs"),
            "memory": fake(tmp_path / "memory", "memory.limit_in_bytes"),  # no swap accounting
        }
    )
    cgroup.bound(group, Bounds(4096, 8, 1.0), ("memory", "pids"))
    assert (tmp_path / "memory" / "memory.limit_in_bytes").read_text() == "4096"
    assert (tmp_path / "unified" / "pids.max").read_text() == "8"
    assert (tmp_path / "unified" / "memory.max").read_text() == ""


def test_a_bound_that_cannot_be_set_is_an_error(tmp_path: Path) -> None:
    group = Group({UNIFIED: fake(tmp_path / "unified")})
    with pytest.raises(FileNotFoundError, match=r"memory\.max"):
        cgroup.bound(group, Bounds(4096))


def test_counters_of_version_2(tmp_path: Path) -> None:
    group = Group({UNIFIED: fake(tmp_path / "unified")})
    assert (cgroup.out_of_memory_kills(group), cgroup.cpu_seconds(group), cgroup.memory_bytes(group)) == (0, None, None)
    (tmp_path / "unified" / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 2\noom_kill 3\noom_group_kill 1\n")
    (tmp_path / "unified" / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n")
    (tmp_path / "unified" / "memory.current").write_text("4096\n")
    (tmp_path / "unified" / "memory.peak").write_text("8192\n")
    assert cgroup.out_of_memory_kills(group) == 3
    assert cgroup.cpu_seconds(group) == 2.5
    assert (cgroup.memory_bytes(group), cgroup.peak_memory_bytes(group)) == (4096, 8192)


def test_without_cgroup_kill_each_process_gets_a_signal(tmp_path: Path) -> None:
    """A made-up group: the kernel does not empty its list, and what is gone already is no error."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    folder = Path(fake(tmp_path / "pids"))
    (folder / "cgroup.procs").write_text(f"{process.pid}\n")
    group = Group({"pids": str(folder)})
    assert (cgroup.kill_method(group), cgroup.populated(group)) == (cgroup.SIGNALS, True)
    cgroup.kill(group)
    assert process.wait(5) == -signal.SIGKILL
    assert not cgroup.wait_until_empty(group, 0.01)
    (folder / "cgroup.procs").write_text("")
    assert cgroup.wait_until_empty(group, 0.01)


def test_a_group_that_is_gone_is_empty(tmp_path: Path) -> None:
    group = Group({UNIFIED: str(tmp_path / "absent")})
    assert not cgroup.populated(group)
    assert cgroup.wait_until_empty(group, 0)
    assert cgroup.remove(group)


def test_a_frozen_group_says_so(tmp_path: Path) -> None:
    group = Group({UNIFIED: fake(tmp_path / "u", "cgroup.freeze"), "freezer": fake(tmp_path / "f", "freezer.state")})
    cgroup.freeze(group)
    assert (tmp_path / "f" / "freezer.state").read_text() == "FROZEN"
    cgroup.freeze(Group({UNIFIED: group.folders[UNIFIED]}))
    assert (tmp_path / "u" / "cgroup.freeze").read_text() == "1"
    assert os.listdir(tmp_path / "f") == ["freezer.state"]
