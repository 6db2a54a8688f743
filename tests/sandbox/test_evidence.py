"""The level that evidence proves. One layer less is never full."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moorage.models.incarnation import VerdictKind
from moorage.supervisor.exits import verdict_of
from moorage_sandbox import layers
from moorage_sandbox.evidence import ProcessEvidence, judge
from moorage_sandbox.report import LEVELS, at_least
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
    assert judge(worker, host, 7).level == "none"
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
        ({"uids": (0,) * 4}, "privileges"),
        ({"uids": (61_001, 61_001, 0, 61_001)}, "privileges"),
    ],
)  # fmt: skip
def test_one_layer_less_is_not_full(changes, layer) -> None:
    report = judge(replace(WORKER, **changes), HOST, landlock_abi=7)
    assert report.level == "none"
    assert [entry.layer for entry in report.missing] == [layer]
    assert report.missing[0].remedy


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
