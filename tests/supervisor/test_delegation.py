"""Which steps make a version 2 group give controllers on: on made-up groups, as version 1 has the real controllers."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage.supervisor import delegation
from moorage.supervisor.cgroups import Available, Cgroups, _Installed, tree_name
from moorage.supervisor.delegation import Found, MakeFolder, NotDelegated, WriteFile, steps_to_enable
from moorage_sandbox.cgroup import UNIFIED, Bounds, Group
from moorage_sandbox.report import SandboxReport

ALL = frozenset({"memory", "pids", "cpu", "io"})
ENABLE = WriteFile("/g/cgroup.subtree_control", "+memory +pids +cpu")


def found(**changes: object) -> Found:
    values = {"folder": "/g", "controllers": ALL, "enabled": frozenset(), "processes": (7,), "root": False}
    return Found(**{**values, **changes})


def test_a_host_alone_in_its_group_moves_into_a_leaf() -> None:
    leaf = f"/g/{delegation.HOST_LEAF}"
    assert steps_to_enable(found(), 7) == (MakeFolder(leaf), WriteFile(f"{leaf}/cgroup.procs", "7"), ENABLE)


def test_an_empty_group_and_the_root_need_no_leaf() -> None:
    assert steps_to_enable(found(processes=()), 7) == (ENABLE,)
    assert steps_to_enable(found(processes=(1, 7), root=True), 7) == (ENABLE,)


def test_others_are_never_moved() -> None:
    with pytest.raises(NotDelegated, match=r"Other processes live in .*/g, .*Delegate=yes.*sandbox.cgroup"):
        steps_to_enable(found(processes=(7, 8)), 7)


def test_what_is_enabled_is_left_alone() -> None:
    assert steps_to_enable(found(enabled=ALL, processes=(7, 8)), 7) == ()
    assert steps_to_enable(found(controllers=frozenset(), processes=(7, 8)), 7) == ()
    (step,) = steps_to_enable(found(enabled=frozenset({"pids"}), processes=()), 7)
    assert step.value == "+memory +cpu"


def group(folder: Path, **files: str) -> Path:
    folder.mkdir()
    texts = {"controllers": "memory pids cpu\n", "subtree_control": "", "procs": "", "events": "populated 0\n", **files}
    for name, text in texts.items():
        (folder / f"cgroup.{name}").write_text(text)
    return folder


def test_controllers_are_given_to_the_tree_and_on(tmp_path: Path) -> None:
    parent = group(tmp_path / "parent")
    tree = group(parent / "tree")
    assert delegation.offered(str(parent)) == frozenset({"memory", "pids", "cpu"})
    assert (parent / "cgroup.subtree_control").read_text() == ""
    delegation.give(str(parent), str(tree))
    assert (parent / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert (tree / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_a_group_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotDelegated, match=r"not this user's to divide\. Run the host as root"):
        delegation.offered(str(tmp_path / "absent"))


def test_version_2_ends_a_worker_as_a_whole(tmp_path: Path) -> None:
    folder = group(tmp_path / "g")
    (folder / "memory.oom.group").write_text("0")
    delegation.end_together(Group({UNIFIED: str(folder), "memory": "/v1"}))
    assert (folder / "memory.oom.group").read_text() == "0"
    delegation.end_together(Group({UNIFIED: str(folder)}))
    assert (folder / "memory.oom.group").read_text() == "1"


def test_a_tree_belongs_to_one_state_folder() -> None:
    assert tree_name(Path("/a")) != tree_name(Path("/b"))
    assert tree_name(Path("/a")).startswith("moorage-")


def test_without_groups_the_report_says_what_that_costs() -> None:
    nothing = Available(reason="Nobody gave any.")
    report = nothing.in_report(SandboxReport("full", {"mount": "own"}))
    assert (report.level, report.layers["cgroup"]) == ("full", "missing")
    (missing,) = report.missing
    assert (missing.layer, missing.reason) == ("cgroup", "Nobody gave any.")
    assert nothing.unenforced(0.5) == "limits.cpus (0.5) has no effect here: Nobody gave any."
    assert nothing.unenforced(None) == ""
    whole = Available("v2", ("memory", "pids", "cpu"), "cgroup.kill")
    assert whole.in_report(SandboxReport("full", {})).missing == ()
    assert whole.unenforced(0.5) == ""


def test_turned_off_there_are_none(tmp_path: Path) -> None:
    groups = Cgroups(tmp_path, "off")
    groups.open()
    assert groups.enter("churn", 1, "a", Bounds(1, 1)) is None
    assert groups.available.version == "none"
    assert "sandbox.cgroup" in groups.available.reason
    groups.close()


def test_generations_have_a_share_each() -> None:
    from moorage.supervisor.cgroups import Member

    def member(generation: str) -> Member:
        return Member(Group({}), "churn", generation, Bounds(100, 10, 0.5))

    installed = _Installed(Group({}), [member("1.0"), member("1.0")])
    assert installed.bounds() == Bounds(100, 10, 0.5)
    installed.members.append(member("1.1"))
    assert installed.bounds() == Bounds(200, 20, 1.0)
