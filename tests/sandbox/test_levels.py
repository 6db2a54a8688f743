"""Machines that lack a layer: which level they have, what is said of it, and a worker that works where it is accepted.

What is lacking is refused by a filter on the host's process, as a container's would. Each level's worker is looked at
from outside, as the launcher did before it let it go.
"""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from moorage_sandbox.evidence import read_evidence

pytestmark = pytest.mark.system

WORKER_UID = 61_777
#: Enough for the stand-in: most of these tests make no call.
IMPORTS = ["asyncio", "site", "standin"]

#: A distribution's AppArmor: bwrap makes namespaces by clone, and nobody by unshare.
ONLY_BWRAP = {"unshare": errno.EPERM}
NO_NAMESPACES = {"unshare": errno.EPERM, "clone": errno.EPERM}
NO_LANDLOCK = dict.fromkeys(("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"), errno.ENOSYS)
NO_SECCOMP = {"seccomp": errno.ENOSYS}

MACHINES = {
    "whole": ({}, "full", []),
    "only bwrap": (ONLY_BWRAP, "full-bwrap", ["namespaces", "noexec"]),
    "no mounts": ({"mount": errno.EPERM}, "restricted", ["mount", "bwrap"]),
    "no namespaces": (NO_NAMESPACES, "restricted", ["namespaces", "bwrap", "mount"]),
    "no Landlock": (NO_LANDLOCK, "full", ["landlock"]),
    "no namespaces, no Landlock": ({**NO_NAMESPACES, **NO_LANDLOCK}, "none", ["namespaces", "bwrap", "landlock"]),
    "no seccomp": (NO_SECCOMP, "none", ["seccomp"]),
}

#: What works everywhere: own folders, threads, the way out of the sandbox's own making.
WORK = """
import socket, sqlite3, tempfile, threading, in_code, in_venv, sysconfig
thread = threading.Thread(target=int); thread.start(); thread.join()
with tempfile.TemporaryFile() as file: file.write(b'x')
data = facts['data'] if os.path.isdir(facts['data']) else '/data'
connection = sqlite3.connect(data + '/levels.db')
connection.execute('create table if not exists t(x)')
socket.socketpair()
value = {
    'uid': os.getuid(),
    'prefix': sys.prefix,
    'purelib': sysconfig.get_paths()['purelib'],
    'modules': [in_code.__file__, in_venv.__file__],
    'main': sorted(name for name in vars(sys.modules['__main__']) if not name.startswith('__')),
    'env': sorted(os.environ),
}
"""


@pytest.fixture(scope="module", autouse=True)
def bwrap() -> None:
    assert shutil.which("bwrap"), "bubblewrap is not installed: scripts/services does it"


def machine(name: str):
    return MACHINES[name]


def named(layers: list[str], user: int | None) -> set[str]:
    """Without namespaces, root lacks the pid namespace first, and others the user namespace."""
    first = "pid" if user is None and os.geteuid() == 0 else "user"
    return {first if layer == "namespaces" else layer for layer in layers}


@pytest.mark.parametrize("name", MACHINES)
def test_the_machine_is_told(stage, name) -> None:
    refuse, level, missing = machine(name)
    (report,) = stage.run(probe=True, refuse=refuse)
    assert report["level"] == level, report
    assert named(missing, stage.user) <= {entry["layer"] for entry in report["missing"]}
    assert all(entry["consequence"] and entry["remedy"] for entry in report["missing"])
    assert (report["missing"] == []) == (name == "whole")


@pytest.mark.parametrize("name", [name for name, (_, level, _) in MACHINES.items() if level != "full"])
def test_below_full_nothing_starts_unless_it_is_accepted(stage, name) -> None:
    refuse, level, missing = machine(name)
    job = stage.job(WORK, facts={"data": str(stage.base / "data")})
    (refused,) = stage.run(job, refuse=refuse, levels=True)
    assert refused["layer"] == next(iter(named(missing[:1], stage.user)))
    assert refused["output"] == ""
    assert f"this machine has '{level}'" in refused["failed"]
    assert f'installations.stage.sandbox = "{level}"' in refused["failed"]

    (result,) = stage.run({**job, "require": level}, refuse=refuse, levels=True)
    assert (result["outcome"], result["level"]) == ("escaped", level), result
    assert result["value"]["uid"] == (WORKER_UID if level != "none" and level != "restricted" else own_uid(stage))


def own_uid(stage) -> int:
    """Without a user namespace of its own a worker calls itself what it is."""
    return WORKER_UID if stage.user is None and os.geteuid() == 0 else stage.user or os.geteuid()


@pytest.mark.parametrize("name", ["whole", "no Landlock"])
@pytest.mark.parametrize("require", ["full", "restricted", "none"])
def test_the_strongest_level_is_used_whatever_would_do(stage, name, require) -> None:
    job = stage.job(WORK, facts={"data": str(stage.base / "data")}, require=require)
    (result,) = stage.run(job, refuse=machine(name)[0], levels=True)
    assert (result["outcome"], result["level"]) == ("escaped", "full"), result


def test_a_masked_proc_is_no_loss(ordinary) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mask /proc for another user")
    new_proc = [
        "unshare",
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--mount",
        "mount",
        "-t",
        "proc",
        "p",
        "/mnt",
    ]
    for masked, code in ((True, 32), (False, 0)):
        process = ordinary.process(new_proc, masked_proc=masked)
        process.communicate(timeout=10)
        assert process.returncode == code, "the control: a new /proc is refused where the old one is masked"
    (report,) = ordinary.run(probe=True, masked_proc=True)
    assert (report["level"], report["missing"]) == ("full", [])
    job = ordinary.job(WORK, facts={"data": str(ordinary.base / "data")})
    (result,) = ordinary.run(job, masked_proc=True)
    assert (result["outcome"], result["level"]) == ("escaped", "full"), result


WAIT = "os.write(1, b'here\\n')\nimport time\nwhile True: time.sleep(60)"


@pytest.mark.parametrize("level", ["full", "full-bwrap", "restricted"])
def test_the_kernel_shows_the_level_and_the_host_takes_its_workers_along(stage, level) -> None:
    jobs = [stage.job(WAIT, start=start) for start in ("zygote", "fresh")]
    host = stage.host(hold=True, level=level, jobs=jobs)
    assert host.stdout is not None
    try:
        assert select.select([host.stdout], [], [], 20)[0], "no worker in time"
        pids = json.loads(host.stdout.readline())
        processes = [os.pidfd_open(pid) for pid in pids]
        own, mine = [read_evidence(pid) for pid in pids], read_evidence(host.pid)
        for evidence in own:
            assert evidence.effective_capabilities == 0
            assert (evidence.no_new_privileges, evidence.seccomp) == (True, 2)
            assert 0 not in evidence.uids
            shared = [kind for kind, name in evidence.namespaces.items() if name == mine.namespaces[kind]]
            if os.geteuid() == 0:
                assert ("mnt" in shared) == ("net" in shared) == ("pid" in shared) == (level == "restricted")
    finally:
        host.kill()
        host.communicate()
    try:
        for process in processes:
            assert select.select([process], [], [], 5)[0], "a worker outlived its host"
    finally:
        for process in processes:
            os.close(process)


def test_run_by_root_bwrap_leaves_no_worker_as_root(privileged) -> None:
    """The control: what it runs by itself stays root."""
    (result,) = privileged.run(privileged.job("value = os.getresuid()"), level="full-bwrap")
    assert result["value"] == [WORKER_UID] * 3
    alone = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "sh", "-c", "cat /proc/self/uid_map; id -u"]
    asked = subprocess.run(alone, capture_output=True, text=True, check=True)
    assert asked.stdout.split()[-1] == "0"


def test_bwraps_own_words_reach_the_operator(stage) -> None:
    (result,) = stage.run(stage.job(WORK, facts={}), level="full-bwrap", refuse={"clone": errno.EPERM})
    assert result["layer"] == "bwrap"
    assert "bwrap: " in result["failed"]
    assert "namespace" in result["failed"]


def test_a_folder_that_its_user_cannot_enter_is_named_before_anything_runs(privileged) -> None:
    closed = privileged.base / "closed"
    (closed / "runtime").mkdir(parents=True)
    closed.chmod(0o700)
    job = privileged.job("value = 1", runtime=str(closed / "runtime"))
    (result,) = privileged.run(job, level="restricted", imports=IMPORTS)
    assert (result["layer"], result["output"]) == ("files", "")
    assert f"chmod o+x {closed}" in result["failed"]
    closed.chmod(0o711)
    (result,) = privileged.run(job, level="restricted", imports=IMPORTS)
    assert result["outcome"] == "escaped", result


def test_a_restricted_worker_cannot_do_what_landlock_and_the_filter_forbid(stage) -> None:
    """Each with the control that a plain process of an ordinary user can."""
    secret = stage.base / "secret"
    secret.write_text("secret")
    secret.chmod(0o666)
    #: Code to what comes of it in the worker, and in the plain process.
    actions = {
        f"value = open({str(secret)!r}).read()": ("EACCES", "escaped"),
        f"value = os.listdir({str(stage.base)!r})": ("EACCES", "escaped"),
        f"open({str(stage.base / 'code' / 'written')!r}, 'w')": ("EACCES", "escaped"),
        "value = open('/proc/self/maps').read()": ("EACCES", "escaped"),
        "if os.fork() == 0: os._exit(0)": ("EPERM", "escaped"),
        "os.execv('/bin/echo', ['echo', 'x'])": ("EPERM", "executed"),
        "import socket; socket.socket()": ("EAFNOSUPPORT", "escaped"),
        "call(157, 1, 0, 0, 0, 0)  # PR_SET_PDEATHSIG": ("EPERM", "escaped"),
        # A size: what the level does not hide, as its report says.
        f"value = os.stat({str(secret)!r}).st_size": ("escaped", "escaped"),
    }
    results = stage.run(*map(stage.job, actions), level="restricted")
    plain = [stage.plain(stage.job(code)) for code in actions]
    outcomes = {
        code: (result["outcome"], control["outcome"])
        for code, result, control in zip(actions, results, plain, strict=True)
    }
    assert outcomes == actions


def test_a_restricted_worker_leaves_other_files_and_processes_of_its_user_as_they_are(ordinary) -> None:
    """What Landlock does not cover. The control is a plain process of the same user."""
    victim = ordinary.base / "victim"
    victim.write_text("x")
    os.chown(victim, ordinary.user or os.geteuid(), -1)
    other = ordinary.process(["/bin/sleep", "60"])
    actions = (
        f"os.chmod({str(victim)!r}, 0o777)",
        f"os.utime({str(victim)!r}, (1, 1))",
        f"os.fchmod(os.open({str(ordinary.python)!r}, os.O_RDONLY), 0o755)",
        f"os.sched_setaffinity({other.pid}, {{0}})",
        f"os.kill({other.pid}, 0)",
    )
    try:
        results = ordinary.run(*map(ordinary.job, actions), level="restricted")
        plain = [ordinary.plain(ordinary.job(code)) for code in actions if "fchmod" not in code]
    finally:
        other.kill()
        other.communicate()
    assert [result["outcome"] for result in results] == ["EPERM"] * len(actions)
    assert [result["outcome"] for result in plain] == ["escaped"] * len(plain)


def test_temporary_files_of_a_restricted_worker_are_its_own_and_go_with_its_socket(stage) -> None:
    code = "import tempfile; value = [tempfile.gettempdir(), os.stat(tempfile.gettempdir()).st_mode & 0o777]"
    (result,) = stage.run(stage.job(code), level="restricted")
    assert result["value"] == [str(stage.base / "socket" / "tmp"), 0o700]
    assert Path(result["value"][0]).parent == stage.base / "socket"
