"""What each grant opens, what is refused without it, and that it opens nothing else."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

SPAWN = (
    "import subprocess; done = subprocess.run([sys.executable, '-c', "
    "'import in_venv, os, sys; print(os.getpid(), sys.prefix, in_venv.WHERE)'], capture_output=True, text=True)\n"
    "value = [done.returncode, done.stdout.split(), done.stderr]"
)

#: Code, and what may come of it, whatever was granted.
HOSTILE = {
    "kill_first": ("import signal; os.getpid() == 1 and os.kill(-1, 0); os.kill(1, signal.SIGKILL)", "EPERM ESRCH"),
    "ptrace_first": ("call(101, 16, 1, 0, 0)", "forbidden ptrace"),
    "read_first": ("open('/proc/1/environ').read()", "ENOENT"),
    "mountinfo": ("open('/proc/self/mountinfo').read()", "ENOENT"),
    "thread_mountinfo": ("open('/proc/self/task/%d/mountinfo' % os.getpid()).read()", "ENOENT"),
    "root": ("os.listdir('/proc/self/root')", "ENOENT"),
    "sysctl": ("open('/proc/sys/kernel/core_pattern').read()", "ENOENT"),
    "shell": ("os.execv('/bin/sh', ['sh'])", "ENOENT EPERM"),
    "copied": (
        "import shutil; shutil.copy(os.path.realpath('/venv/bin/python'), '/tmp/p'); os.execv('/tmp/p', ['p'])",
        "EACCES EPERM ENOENT",
    ),
    "memfd": ("call(319, b'x', 0)", "ENOSYS"),
    "namespace": ("call(56, 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)", "EPERM"),
    "unshare": ("call(272, 0x10000000)", "EPERM"),
    "tcp": ("import socket; socket.socket()", "EAFNOSUPPORT"),
    "terminal": ("call(16, 0, 0x5412, b'x')", "ENOTTY EACCES"),
    "secret": ("open(facts['secret']).read()", "ENOENT EACCES"),
    "stat_secret": ("os.stat(facts['secret'])", "ENOENT"),
    "write_venv": ("open('/venv/bin/x', 'w')", "EROFS EACCES"),
    "write_home": ("open('/venv/pyvenv.cfg', 'w')", "EROFS EACCES ENOENT"),
}


#: The same where connections were granted: the one door is there, and no other.
HOSTILE_NET = {
    **{name: attempt for name, attempt in HOSTILE.items() if name != "tcp"},
    "udp": ("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "EPERM"),
    "raw": ("import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", "EPERM"),
    "sctp": ("import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)", "EPERM"),
    "mptcp": ("import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)", "EPERM"),
    "ipv6": ("import socket; socket.socket(socket.AF_INET6)", "EAFNOSUPPORT"),
    "netlink": ("import socket; socket.socket(16, socket.SOCK_RAW)", "EAFNOSUPPORT"),
    "bind": ("import socket; socket.socket().bind(('127.0.0.1', 0))", "EPERM"),
    "listen": ("import socket; socket.socket().listen()", "EPERM"),
    "accept": ("import socket; socket.socket().accept()", "EPERM EINVAL"),
    "other_port": ("import socket; socket.socket().connect(('127.0.0.1', 22))", "EACCES ECONNREFUSED"),
    "other_host": ("import socket; socket.socket().connect(('10.0.0.1', 3128))", "ENETUNREACH EACCES"),
    "metadata": ("import socket; socket.socket().connect(('169.254.169.254', 80))", "ENETUNREACH EACCES"),
    "broadcast": ("import socket; socket.socket().connect(('255.255.255.255', 3128))", "ENETUNREACH EACCES"),
    "ulp": ("import socket; socket.socket().setsockopt(6, 31, b'tls')", "EPERM"),
    "congestion": ("import socket; socket.socket().setsockopt(6, 13, b'vegas')", "EPERM"),
    "ip_options": ("import socket; socket.socket().setsockopt(0, 4, b'x' * 4)", "EPERM"),
    "mark": ("import socket; socket.socket().setsockopt(1, 36, 1)", "EPERM"),
    "bind_device": ("import socket; socket.socket().setsockopt(1, 25, b'eth0\\0')", "EPERM ENODEV ENOPROTOOPT"),
    "interface": ("import socket; call(16, socket.socket().fileno(), 0x8914, b'x' * 40)", "ENOTTY"),
}


@pytest.fixture(scope="module", params=["zygote", "fresh"])
def start(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def readable() -> Iterator[Path]:
    """A folder outside, which everybody may read and write."""
    folder = Path(tempfile.mkdtemp(prefix="moorage-granted-"))
    folder.chmod(0o777)
    (folder / "models").mkdir()
    (folder / "models" / "weights").write_text("weights")
    (folder / "models" / "tool").write_text("#!/bin/true\n")
    (folder / "models" / "tool").chmod(0o777)
    (folder / "current").symlink_to(folder / "models")
    (folder / "secret").write_text("secret")
    for path in (folder / "models", folder / "models" / "weights"):
        path.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def one(stage, code: str, *granted: str, **more: Any) -> dict[str, Any]:
    (result,) = stage.run(stage.job(code, granted=list(granted), **more))
    return result


@pytest.mark.parametrize(
    "granted",
    [
        ["sandbox.subprocess"],
        ["sandbox.proc"],
        ["sandbox.subprocess", "sandbox.proc"],
        ["files.read:{folder}/models/**"],
    ],
    ids=["subprocess", "proc", "both", "files"],
)
def test_nothing_else_is_opened(stage, start, readable, granted) -> None:
    rights = [right.format(folder=readable) for right in granted]
    facts = {"secret": str(readable / "secret"), "python": str(stage.python)}
    jobs = [stage.job(code, granted=rights, start=start, facts=facts) for code, _ in HOSTILE.values()]
    results = dict(zip(HOSTILE, stage.run(*jobs), strict=True))
    wrong = {name: result for name, result in results.items() if not _stopped(name, result)}
    assert not wrong, wrong


def test_connections_open_one_door_and_no_other(stage, start, readable) -> None:
    rights = ["net.connect:example.com:443"]
    facts = {"secret": str(readable / "secret"), "python": str(stage.python)}
    jobs = [stage.job(code, granted=rights, start=start, facts=facts) for code, _ in HOSTILE_NET.values()]
    results = dict(zip(HOSTILE_NET, stage.run(*jobs), strict=True))
    wrong = {name: result for name, result in results.items() if not _stopped(name, result)}
    assert not wrong, wrong
    door = "import socket; s = socket.socket(); s.connect(('127.0.0.1', 3128)); value = s.getpeername()[1]"
    assert one(stage, door, *rights, start=start).get("value") == 3128
    assert one(stage, door, start=start)["outcome"] == "EAFNOSUPPORT"


def _stopped(name: str, result: dict[str, Any]) -> bool:
    expected = {**HOSTILE, **HOSTILE_NET}[name][1]
    return result["outcome"] in (expected, *expected.split())


def test_no_process_without_the_grant(stage, start) -> None:
    assert one(stage, SPAWN, start=start)["outcome"] == "EPERM"


def test_subprocess_of_the_same_environment(stage, start) -> None:
    result = one(stage, SPAWN, "sandbox.subprocess", start=start)
    assert result.get("value") == [0, ["3", "/venv", f"{stage.site_packages}/in_venv.py"], ""], result
    assert result["level"] == "full"


def test_a_pool_of_processes(stage) -> None:
    code = (
        "import multiprocessing as m\n"
        "if __name__ != '__mp_main__':\n"
        "    with m.get_context('fork').Pool(3) as pool: value = sum(pool.map(len, ['a', 'bb', 'ccc']))"
    )
    assert one(stage, code, "sandbox.subprocess").get("value") == 6


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("os._exit(4)", "exit 4"),
        ("os._exit(137)", "exit 137"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("import signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os.fork() or call(101, 0, 0, 0, 0); os.wait()", "forbidden ptrace"),
    ],
    ids=["exit", "exit137", "segfault", "abort", "kill", "child_forbidden"],
)
def test_how_it_ends_is_told_through_the_first_process(stage, start, code, outcome) -> None:
    assert one(stage, code, "sandbox.subprocess", start=start)["outcome"] == outcome


def test_orphans_are_reaped_and_end_with_the_plugin(stage) -> None:
    code = (
        "import subprocess\n"
        "for _ in range(20): subprocess.Popen([sys.executable, '-S', '-c', 'import os; os.fork() or os.setsid()'])\n"
        "lasting = [sys.executable, '-S', '-c', 'import time; time.sleep(600)']\n"
        "subprocess.Popen(lasting, start_new_session=True)\n"
        'os.write(1, b\'{"outcome": "escaped"}\\n\'); os._exit(0)'
    )
    # The result comes when the kernel has ended all of them: else this would wait for ten minutes.
    assert one(stage, code, "sandbox.subprocess")["verdict"] == "exited"


def test_its_processes_count_against_its_limit(stage) -> None:
    code = (
        "import subprocess\nchildren = []\n"
        "while len(children) < 200: children.append(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1))"
    )
    result = one(stage, code, "sandbox.subprocess", pids=16)
    assert result["outcome"] == "EAGAIN", result


def test_no_proc_without_the_grant(stage, start) -> None:
    assert one(stage, "open('/proc/self/status')", start=start)["outcome"] == "ENOENT"


def test_its_own_entries_of_proc_name_nothing_of_the_host(stage, start) -> None:
    code = (
        "value = {}\n"
        "for name in sorted(os.listdir('/proc/self')):\n"
        "    path = '/proc/self/' + name\n"
        "    if os.path.isdir(path): value[name] = ' '.join(os.readlink(path + '/' + fd) if name == 'fd' else fd "
        "for fd in ('0', '1'))\n"
        "    else: value[name] = open(path).read()"
    )
    result = one(stage, code, "sandbox.proc", start=start)
    seen = result["value"]
    assert seen["status"].startswith("Name:")
    assert {"maps", "limits", "fd", "statm"} <= set(seen)
    for name, text in seen.items():
        for path in (str(stage.base), str(stage.runtime), "/.former", "/.host", str(Path.home())):
            assert path not in text, (name, path)


def test_a_folder_is_read_and_nothing_more(stage, start, readable) -> None:
    right = f"files.read:{readable}/models/**"
    weights = str(readable / "models" / "weights")
    read = f"value = open({weights!r}).read()"
    tried = {
        f"open({weights!r}, 'a')": ("EROFS", "EACCES"),
        f"os.unlink({weights!r})": ("EROFS", "EACCES"),
        f"open({str(readable / 'models' / 'new')!r}, 'w')": ("EROFS", "EACCES"),
        f"os.stat({str(readable / 'secret')!r})": ("ENOENT",),
        # The way to it is made for this worker, and holds nothing else.
        f"assert os.listdir({str(readable)!r}) == ['models']": ("escaped",),
    }
    without, with_it, *refused = stage.run(
        stage.job(read, start=start),
        *(stage.job(code, granted=[right], start=start) for code in (read, *tried)),
    )
    assert (without["outcome"], with_it.get("value")) == ("ENOENT", "weights")
    for (code, outcomes), result in zip(tried.items(), refused, strict=True):
        assert result["outcome"] in outcomes, (code, result)
    assert (readable / "models" / "weights").read_text() == "weights"


def test_nothing_in_a_granted_folder_executes(stage, readable) -> None:
    code = f"os.execv({str(readable / 'models' / 'tool')!r}, ['tool'])"
    result = one(stage, code, f"files.read:{readable}/models/**", "sandbox.subprocess")
    assert result["outcome"] == "EACCES"


def test_one_file_alone(stage, readable) -> None:
    path = readable / "models" / "weights"
    code = f"value = [open({str(path)!r}).read(), os.path.exists({str(path.parent / 'tool')!r})]"
    assert one(stage, code, f"files.read:{path}").get("value") == ["weights", False]


def test_a_link_shows_what_it_leads_to_under_its_own_name(stage, readable) -> None:
    code = f"value = open({str(readable / 'current' / 'weights')!r}).read()"
    assert one(stage, code, f"files.read:{readable}/current/**").get("value") == "weights"


def test_what_takes_the_place_of_a_granted_folder_after_the_host_looked_is_not_shown(stage, readable) -> None:
    """Whoever may write beside it swaps it for a link; the host's own folder lies where that leads."""
    other = readable / "other"
    other.mkdir(exist_ok=True)
    (other / "weights").write_text("another")
    job = stage.job(
        f"value = open({str(readable / 'models' / 'weights')!r}).read()",
        granted=[f"files.read:{readable}/models/**"],
        swap=[str(readable / "models"), "other"],
    )
    (result,) = stage.run(job)
    assert result.get("layer") == "files", result
    assert "has become another" in result["failed"]
    assert result["output"] == ""


def test_a_folder_below_a_link_of_the_root(stage) -> None:
    """/lib is a link to usr/lib on most machines."""
    folder = next(path for path in sorted(Path("/usr/lib").iterdir()) if path.is_dir() and any(path.iterdir()))
    granted = f"files.read:/lib/{folder.name}/**"
    code = f"value = sorted(os.listdir('/lib/{folder.name}')) == sorted(os.listdir('/usr/lib/{folder.name}')) != []"
    assert one(stage, code, granted).get("value") is True


def test_what_one_worker_was_granted_no_other_one_sees(stage, readable) -> None:
    look = f"value = os.path.exists({str(readable)!r})"
    granted = stage.job(look, granted=[f"files.read:{readable}/models/**"])
    assert [result.get("value") for result in stage.run(granted, stage.job(look), granted, stage.job(look))] == [
        True, False, True, False
    ]  # fmt: skip


def test_a_device_is_opened_alone(privileged) -> None:
    node = Path("/dev") / f"moorage-test-{os.getpid()}"
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    node.chmod(0o666)
    try:
        code = f"value = open({str(node)!r}, 'rb').read(3).hex()"
        assert one(privileged, code)["outcome"] == "ENOENT"
        assert one(privileged, code, f"sandbox.device:{node}").get("value") == "000000"
        others = one(privileged, "open('/dev/kmsg')", f"sandbox.device:{node}")
        assert others["outcome"] == "ENOENT"
    finally:
        node.unlink()
