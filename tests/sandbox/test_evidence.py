"""The level that evidence proves. One layer less is never full."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moorage.models.incarnation import VerdictKind
from moorage.supervisor.exits import verdict_of
from moorage.supervisor.zygote_process import unwrapped
from moorage_sandbox import layers
from moorage_sandbox.evidence import ProcessEvidence
from moorage_sandbox.judgement import Made, judge
from moorage_sandbox.report import LEVELS, CgroupFacts, LandlockFacts, SeccompFacts, at_least, in_cgroup
from moorage_sandbox.setup import Failure

HOST = ProcessEvidence(
    {kind: f"{kind}:[1]" for kind in ("mnt", "pid", "net", "ipc", "uts", "user")},
    uids=(0, 0, 0, 0),
    effective_capabilities=2**41 - 1,
    bounding_capabilities=2**41 - 1,
    no_new_privileges=False,
    seccomp=0,
    data_bytes=None,
    processes=1000,
    pids=(100,),
)
WORKER = ProcessEvidence(
    {**{kind: f"{kind}:[2]" for kind in ("mnt", "pid", "net", "ipc", "uts")}, "user": "user:[1]"},
    uids=(61_001,) * 4,
    effective_capabilities=0,
    bounding_capabilities=0,
    no_new_privileges=True,
    seccomp=2,
    data_bytes=2**28,
    processes=64,
    pids=(200, 7, 1),
)


def test_everything_is_full() -> None:
    report = judge(WORKER, HOST, landlock_abi=7)
    assert (report.level, report.missing) == ("full", ())


def test_a_user_namespace_does_for_a_uid() -> None:
    host = replace(HOST, uids=(1000,) * 4)
    worker = replace(WORKER, uids=(1000,) * 4)
    assert judge(worker, host, 7).level == "restricted"
    assert judge(replace(worker, namespaces={**WORKER.namespaces, "user": "user:[2]"}), host, 7).level == "full"


@pytest.mark.parametrize(
    ("changes", "layer"),
    [
        *(({"namespaces": {**WORKER.namespaces, kind: f"{kind}:[1]"}}, layer) for kind, layer in (
            ("mnt", "mount"), ("pid", "pid"), ("net", "network"), ("ipc", "ipc"), ("uts", "uts"))),
        ({"namespaces": {**WORKER.namespaces, "mnt": None}}, "mount"),
        ({"pids": (200, 7, 2)}, "pid"),
        ({"data_bytes": None}, "limits"),
        ({"processes": None}, "limits"),
        ({"seccomp": 0}, "seccomp"),
        ({"seccomp": 1}, "seccomp"),
        ({"no_new_privileges": False}, "privileges"),
        ({"effective_capabilities": 1}, "privileges"),
        ({"bounding_capabilities": 1}, "privileges"),
    ],
)  # fmt: skip
def test_one_layer_less_is_not_full(changes, layer) -> None:
    report = judge(replace(WORKER, **changes), HOST, landlock_abi=7)
    assert report.level == ("none" if layer in ("limits", "seccomp", "privileges") else "restricted")
    assert [entry.layer for entry in report.missing] == [layer]
    assert report.missing[0].remedy


@pytest.mark.parametrize("uids", [(0,) * 4, (61_001, 61_001, 0, 61_001)])
def test_root_is_no_level(uids) -> None:
    report = judge(replace(WORKER, uids=uids), HOST, landlock_abi=7)
    assert report.level == "none"
    assert [entry.layer for entry in report.missing] == ["user", "privileges"]


HOSTED = replace(WORKER, namespaces=HOST.namespaces, pids=(200,))


def test_without_namespaces_it_is_restricted_from_landlocks_fourth_version_on() -> None:
    made = Made("restricted")
    assert judge(HOSTED, HOST, 4, made=made).level == "restricted"
    assert judge(HOSTED, HOST, 3, made=made).level == "none"
    missing = judge(HOSTED, HOST, 4, made=made).missing
    assert [entry.layer for entry in missing] == ["mount", "pid", "network", "ipc", "uts"]
    assert "stat(2)" in missing[0].consequence


def test_as_the_hosts_own_user_it_takes_the_landlock_that_holds_signals() -> None:
    host, worker, made = replace(HOST, uids=(1000,) * 4), replace(HOSTED, uids=(1000,) * 4), Made("restricted")
    assert judge(worker, host, 6, made=made).level == "restricted"
    report = judge(worker, host, 5, made=made)
    assert report.level == "none"
    assert "landlock" in {entry.layer for entry in report.missing}


def test_a_filter_that_the_host_has_already_is_not_the_workers() -> None:
    """Of a container's engine: every process in there has it."""
    host = replace(HOST, seccomp=2, filters=1)
    assert judge(replace(WORKER, filters=2), host, 7).level == "full"
    report = judge(replace(WORKER, filters=1), host, 7)
    assert (report.level, report.seccomp) == ("none", SeccompFacts())
    assert [entry.layer for entry in report.missing] == ["seccomp"]


@pytest.mark.parametrize("changes", [{"gids": (0,) * 4}, {"groups": (27,)}])
def test_a_user_with_the_hosts_groups_is_no_user_of_its_own(changes) -> None:
    assert judge(replace(WORKER, gids=(61_001,) * 4), HOST, 7).level == "full"
    report = judge(replace(WORKER, **changes), HOST, 7)
    assert report.level == "restricted"
    assert [entry.layer for entry in report.missing] == ["user"]


def test_an_ordinary_user_keeps_the_bounding_set_that_it_cannot_empty() -> None:
    host = replace(HOST, uids=(1000,) * 4)
    worker = replace(HOSTED, uids=(1000,) * 4, bounding_capabilities=1)
    assert judge(worker, host, 7, made=Made("restricted")).level == "restricted"
    assert judge(replace(worker, effective_capabilities=1), host, 7, made=Made("restricted")).level == "none"


def test_what_bwrap_made_is_no_more_than_that() -> None:
    made = Made("full-bwrap", pid=2)
    report = judge(replace(WORKER, pids=(200, 2)), HOST, 7, made=made)
    assert report.level == "full-bwrap"
    assert [entry.layer for entry in report.missing] == ["noexec"]


MOUNTED = {"/": frozenset({"ro", "nosuid"}), "/data": frozenset({"rw", "nosuid", "noexec", "relatime"})}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({**MOUNTED, "/etc": frozenset({"ro"})}, "/etc is mounted and should not be"),
        ({"/": MOUNTED["/"]}, "/data is not mounted"),
        ({**MOUNTED, "/data": frozenset({"rw", "nosuid"})}, "/data lacks noexec"),
    ],
)
def test_mounts_that_are_not_the_plans_are_no_layer(found, problem) -> None:
    made = Made(mounts={"/": frozenset({"ro"}), "/data": frozenset({"nosuid", "noexec"})})
    assert judge(replace(WORKER, mounts=MOUNTED), HOST, 7, made=made).level == "full"
    report = judge(replace(WORKER, mounts=found), HOST, 7, made=made)
    assert report.level == "restricted"
    assert problem in report.missing[0].reason


def test_a_limit_above_the_plans_is_no_limit() -> None:
    made = Made(rlimits={"RLIMIT_CORE": 0})
    assert judge(replace(WORKER, rlimits={"RLIMIT_CORE": 0}), HOST, 7, made=made).level == "full"
    for actual in (1, None):
        assert judge(replace(WORKER, rlimits={"RLIMIT_CORE": actual}), HOST, 7, made=made).level == "none"


def test_the_facts_are_told() -> None:
    made = Made(seccomp=SeccompFacts("x86_64", "abc"))
    report = judge(WORKER, HOST, 9, named=True, made=made)
    assert report.landlock == LandlockFacts(9, fs=True, tcp=True, scopes=True, unix=True)
    assert report.seccomp == SeccompFacts("x86_64", "abc", named=True)
    assert (report.uid, report.capabilities, report.no_new_privileges, report.proc) == (61_001, 0, True, "none")
    assert (report.kill, report.memory) == ("pid namespace", "rlimit_data")
    grouped = in_cgroup(report, CgroupFacts("v1", memory=True, pids=True))
    assert (grouped.kill, grouped.memory, grouped.layers["cgroup"]) == ("cgroup.kill", "cgroup", "v1: memory, pids")


@pytest.mark.parametrize(("told", "meant"), [(0, 0), (3 << 8, 3 << 8), (159 << 8, 31), (137 << 8, 9), (9, 9)])
def test_what_bwrap_tells_of_its_program(told, meant) -> None:
    assert unwrapped(told) == meant


def test_landlock_is_missed_but_lowers_nothing() -> None:
    report = judge(WORKER, HOST, landlock_abi=0)
    assert report.level == "full"
    assert [entry.layer for entry in report.missing] == ["landlock"]


def test_levels_are_ordered() -> None:
    assert [at_least("restricted", level) for level in LEVELS] == [False, False, True, True]


@pytest.mark.parametrize(
    "step", ["user namespace", "namespaces", "mounts", "Landlock", "seccomp", "imports", "unheard of"]
)
def test_every_failure_has_words(step) -> None:
    missing = layers.layer_of(Failure(step, 1, "unshare: Operation not permitted"))
    assert "(EPERM)" in missing.reason
    assert missing.consequence
    assert missing.remedy


@pytest.mark.parametrize(
    ("status", "kind", "signal"),
    [
        (3 << 8, VerdictKind.EXITED, ""),
        (31, VerdictKind.FORBIDDEN_SYSTEM_CALL, "SIGSYS"),
        (31 | 0x80, VerdictKind.FORBIDDEN_SYSTEM_CALL, "SIGSYS"),
        (11, VerdictKind.SIGNALLED, "SIGSEGV"),
        (9, VerdictKind.SIGNALLED, "SIGKILL"),
    ],
)
def test_verdicts(status, kind, signal) -> None:
    verdict = verdict_of(status, killed_by_host=False)
    assert (verdict.kind, verdict.signal) == (kind, signal)
    assert verdict.sentence.endswith(".")


def test_a_kill_by_the_host_is_told_from_others() -> None:
    assert "The host killed" in verdict_of(9, killed_by_host=True).sentence
    assert "did not ask" in verdict_of(9, killed_by_host=False).sentence
