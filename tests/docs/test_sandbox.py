"""What docs/sandbox.md says of the sandbox is what the code does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from moorage.models.manifest import Limits
from moorage_sandbox import lists
from moorage_sandbox.evidence import ProcessEvidence
from moorage_sandbox.interpreter import Interpreter
from moorage_sandbox.judgement import judge
from moorage_sandbox.libraries import Libraries
from moorage_sandbox.plan import Mount, WorkerPaths, WorkerWishes, worker_plan, zygote_plan
from moorage_sandbox.policy import DEFAULT_POLICY, MEBIBYTE, THREAD_STACK_BYTES
from moorage_sandbox.report import LEVELS

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()

WORKER = ProcessEvidence(
    namespaces=dict.fromkeys(("mnt", "pid", "net", "ipc", "uts", "user"), "own"),
    uids=(61_000, 61_000, 61_000, 61_000),
    effective_capabilities=0,
    bounding_capabilities=0,
    no_new_privileges=True,
    seccomp=2,
    data_bytes=Limits().memory_bytes,
    processes=Limits().pids,
    pids=(700, 7, 1),
)
HOST = replace(WORKER, namespaces=dict.fromkeys(WORKER.namespaces, "host"), uids=(0, 0, 0, 0))


def test_the_lists_have_as_many_calls_as_it_says() -> None:
    assert f"{len(lists.ALLOW)} system calls pass, {len(lists.BY_ARGUMENTS)} are decided by their arguments" in PAGE
    assert f"{len(lists.REFUSE)} are refused with `EPERM`, {len(lists.KILL)} kill the process" in PAGE
    assert f"The {len(lists.KILL)} that kill" in PAGE


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_is_named(level: str) -> None:
    assert f"`{level}`" in PAGE


def test_every_layer_is_in_doctors_answer() -> None:
    for layer in judge(WORKER, HOST, 7).layers:
        assert f"\n     {layer:<10} " in PAGE


def test_the_bounds_are_the_policys() -> None:
    policy, limits = DEFAULT_POLICY, Limits()
    for row in (
        f"| {limits.memory_bytes // MEBIBYTE} MiB | `memory`",
        f"| {limits.pids} | `pids`",
        f"| open files | {policy.open_files:,} |",
        f"| size of one file | {policy.file_bytes // MEBIBYTE} MiB |",
        f"| `/tmp`, `/dev/shm` | {policy.tmp_bytes // MEBIBYTE} MiB, {policy.tmp_files:,} files each |",
        f"all of it counts as memory | {THREAD_STACK_BYTES // MEBIBYTE} MiB |",
        f"| {policy.stack_bytes // MEBIBYTE} MiB, {policy.locked_bytes // MEBIBYTE} MiB, none |",
    ):
        assert row in PAGE


def test_everything_that_a_worker_may_open_is_named() -> None:
    interpreter = Interpreter("/opt/p/bin/python3", "/opt/p", (3, 12, 1), "/opt/p/lib/python3.12", None, None)
    base = zygote_plan(interpreter, Libraries((), ()), "/sdk", "/runtime", zones=False, user_namespace=False)
    assert Mount("/sdk", "/sdk", "read") in base.mounts
    paths = WorkerPaths("/v", "/c", "/d", "/s")
    plan = worker_plan(base, interpreter, DEFAULT_POLICY, WorkerWishes(paths, 61_000, 1, 1))
    for path, _ in plan.files:
        assert f"`{path}`" in PAGE or f"`{path.removeprefix('/dev/')}`" in PAGE, path
