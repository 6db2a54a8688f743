"""What hostile code tries, and what stops it. Each action is also made by a plain process of an ordinary user, where it
succeeds: else its refusal in the sandbox would prove nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Attack:
    name: str
    code: str
    #: What may come of it in the sandbox.
    stopped: frozenset[str]
    #: False where a plain process cannot do it either, with the reason beside it.
    control: bool = True


def attack(name: str, code: str, stopped: str, *, control: bool = True) -> Attack:
    return Attack(name, code, frozenset(word.replace(":", " ") for word in stopped.split()), control)


LOAD_FILTER = "call(317, 2, 0, (0x80000000).to_bytes(4, 'little'))"  # SECCOMP_GET_ACTION_AVAIL

ATTACKS = (
    # Files
    attack("read_planted", "open(facts['secret']).read()", "ENOENT EACCES"),
    attack("stat_planted", "os.stat(facts['secret'])", "ENOENT"),
    attack("list_outside", "os.listdir(os.path.dirname(facts['secret']))", "ENOENT EACCES"),
    attack("append_planted", "open(facts['secret'], 'a').write('x')", "ENOENT EACCES"),
    attack("write_code", "open(facts['code'] + '/x', 'w').write('x')", "EROFS EACCES"),
    attack("write_venv", "open(facts['site'] + '/x.py', 'w').write('x')", "EROFS EACCES"),
    attack("read_sys", "os.listdir('/sys/kernel')", "ENOENT EACCES"),
    attack("read_proc", "open('/proc/1/cmdline').read()", "ENOENT EACCES"),
    attack("read_mountinfo", "open('/proc/self/mountinfo').read()", "ENOENT EACCES"),
    attack("setuid_bit", "open(facts['data']+'/s','w').close(); os.chmod(facts['data']+'/s', 0o4755)", "EPERM"),
    attack("symlink", "os.path.lexists(facts['data']+'/l') or os.symlink('/etc/passwd', facts['data']+'/l')", "EACCES"),
    attack(
        "dlopen_from_data",
        "import _ctypes as c, shutil\nshutil.copyfile(facts['library'], facts['data'] + '/l.so')\n"
        "try: c.dlopen(facts['data'] + '/l.so', 0)\nexcept OSError as e: raise PermissionError(13, str(e))",
        "EACCES",
    ),
    attack("chown", "open(facts['data']+'/c','w').close(); os.chown(facts['data']+'/c', os.getuid(), -1)", "EPERM"),
    # Other processes
    attack("signal_host", "os.kill(facts['bystander'], 0)", "ESRCH EPERM"),
    attack("fork", "pid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)", "EPERM"),
    attack("exec", "os.execv('/bin/echo', ['echo', '{\"outcome\": \"escaped\"}'])", "EPERM"),
    attack("spawn", "import subprocess; subprocess.run(['/bin/true'], check=True)", "EPERM"),
    attack("ptrace", "call(101, 0, 0, 0, 0)", "forbidden:ptrace"),
    attack("process_vm_readv", "call(310, os.getpid(), None, 0, None, 0, 0)", "forbidden:process_vm_readv"),
    attack("pidfd_getfd", "call(438, call(434, os.getpid(), 0), 0, 0)", "forbidden:pidfd_getfd"),
    # The network
    attack("tcp_loopback", "import socket; socket.create_connection(('127.0.0.1', facts['port']), 5)", "EAFNOSUPPORT"),
    attack("tcp_bind", "import socket; socket.socket().bind(('127.0.0.1', 0))", "EAFNOSUPPORT"),
    attack(
        "udp",
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', facts['port']))",
        "EAFNOSUPPORT",
    ),
    attack("netlink", "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", "EAFNOSUPPORT"),
    attack("other_socket", "import socket; socket.socket(socket.AF_UNIX).connect(facts['socket'])", "ENOENT EACCES"),
    attack(
        "abstract_socket",
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0' + facts['abstract'])",
        "ECONNREFUSED EPERM",
    ),
    attack(
        "listen",
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind(facts['data'] + '/l.sock'); s.listen()",
        "EPERM",
    ),
    # Namespaces, keys, and the kernel's surface
    attack("unshare_user", "call(272, 0x10000000)", "EPERM"),
    attack("clone_user", "pid = call(56, 0x10000000 | 17, 0, 0, 0, 0)\nif not pid: os._exit(0)", "EPERM"),
    attack("clone3", "call(435, bytes(32) + (17).to_bytes(8, 'little') + bytes(48), 88) or os._exit(0)", "ENOSYS"),
    attack("memfd", "call(319, b'x', 0)", "ENOSYS"),
    attack("keyctl", "call(250, 0, -3, 1)", "forbidden:keyctl"),
    attack("add_key", "call(248, b'user', b'moorage', b'x', 1, -2)", "forbidden:add_key"),
    attack("io_uring", "call(425, 1, ctypes.create_string_buffer(120))", "forbidden:io_uring_setup"),
    attack("personality", "call(135, 0x0040000)", "EPERM"),
    attack("sysv_shm", "call(29, 0, 4096, 0o1600)", "EPERM"),
    attack("stack_filter", LOAD_FILTER, "EPERM"),
    attack("landlock", "call(444, None, 0, 1)", "EPERM"),
    attack("pdeathsig", "call(157, 1, 0, 0, 0, 0)", "EPERM"),
    attack("dumpable", "call(157, 4, 1, 0, 0, 0)", "EPERM"),
    # Refused to any ordinary user; here it must be the filter that answers.
    attack("mount", "call(165, b'x', b'/tmp', b'tmpfs', 0, None)", "forbidden:mount", control=False),
    attack("chroot", "os.chroot('/tmp')", "forbidden:chroot", control=False),
    attack("setns", "call(308, 0, 0)", "forbidden:setns", control=False),
    attack("bpf", "call(321, 0, None, 0)", "forbidden:bpf", control=False),
    attack("x32", "call(0x40000000 | 39)", "SIGSYS", control=False),  # most kernels have no x32
    attack("setuid_root", "os.setuid(0)", "EPERM", control=False),
    # Resources
    attack("memory", "value = len(bytearray(600 << 20))", "MemoryError"),
    attack(
        "threads",
        "import threading\ngo = threading.Event()\nts = [threading.Thread(target=go.wait) for _ in range(200)]\n"
        "try:\n    for t in ts: t.start()\nfinally: go.set()",
        "RuntimeError",
    ),
    attack("descriptors", "fds = [os.dup(0) for _ in range(2000)]", "EMFILE"),
    attack("big_file", "open(facts['data'] + '/big', 'w').truncate(1 << 30)", "EFBIG"),
    attack("tmp_full", "open(facts['tmp'] + '/full', 'wb').write(bytes(80 << 20))", "ENOSPC"),
    attack("tmp_inodes", "for i in range(12_000): open(f\"{facts['tmp']}/i{i}\", 'w').close()", "ENOSPC"),
    attack("more_limits", "import resource as r; r.setrlimit(r.RLIMIT_CORE, (1, 1))", "EPERM ValueError"),
    # What was left lying about
    attack("inherited", "os.fstat(facts['fd'])", "EBADF"),
    attack("environment", "os.environ['STAGE_SECRET']", "KeyError"),
)


@contextlib.contextmanager
def _listening(family: int, address: Any) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind(address)
        server.listen()
        yield server


@dataclass
class Planted:
    facts: dict[str, Any]
    fd: int


@pytest.fixture(scope="module")
def planted(ordinary) -> Iterator[Planted]:
    """Everything that an unconfined process of an ordinary user could reach."""
    outside = Path(tempfile.mkdtemp(prefix="moorage-outside-"))
    outside.chmod(0o777)
    secret = outside / "secret"
    secret.write_text("planted")
    secret.chmod(0o666)
    abstract = f"moorage-{outside.name}"
    bystander = ordinary.process([ordinary.python, "-c", "input()"])
    with (
        _listening(socket.AF_UNIX, str(outside / "socket")),
        _listening(socket.AF_UNIX, f"\0{abstract}"),
        _listening(socket.AF_INET, ("127.0.0.1", 0)) as tcp,
    ):
        (outside / "socket").chmod(0o777)
        fd = os.open(secret, os.O_RDONLY)
        facts = {
            "secret": str(secret),
            "socket": str(outside / "socket"),
            "abstract": abstract,
            "port": tcp.getsockname()[1],
            "bystander": bystander.pid,
            "fd": fd,
        }
        yield Planted(facts, fd)
        os.close(fd)
    bystander.communicate("\n")
    shutil.rmtree(outside, ignore_errors=True)


@pytest.fixture(scope="module", params=["zygote", "fresh"])
def inside(request, stage, planted) -> dict[str, dict[str, Any]]:
    """Every attack, each in a worker of its own; the host leaks a variable and a descriptor."""
    folders = {
        "code": "/plugin",
        "site": stage.site_packages,
        "data": "/data",
        "tmp": "/tmp",
        "library": "/sdk/library.so",
    }
    shutil.copyfile(_some_library(stage.python), stage.base / "sdk" / "library.so")
    stage.env["STAGE_SECRET"] = "planted"
    jobs = [stage.job(entry.code, facts={**planted.facts, **folders}, start=request.param) for entry in ATTACKS]
    results = stage.run(*jobs, pass_fds=(planted.fd,))
    return {entry.name: result for entry, result in zip(ATTACKS, results, strict=True)}


def _some_library(python: Path | str) -> str:
    """A small shared library without dependencies of its own."""
    code = "import _posixshmem; print(_posixshmem.__file__)"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("entry", ATTACKS, ids=lambda entry: entry.name)
def test_sandbox_stops(entry: Attack, inside) -> None:
    result = inside[entry.name]
    assert result["level"] == "full"
    assert result["outcome"] in entry.stopped, result


@pytest.mark.parametrize("entry", ATTACKS, ids=lambda entry: entry.name)
def test_an_attempted_escape_is_reported_as_one(entry: Attack, inside) -> None:
    """By the name of the call; where the kernel kills by itself, by its signal."""
    result = inside[entry.name]
    forbidden = result["outcome"] == "SIGSYS" or result["outcome"].startswith("forbidden ")
    assert (result["verdict"] == "forbidden_system_call") == forbidden


@pytest.mark.parametrize("entry", [entry for entry in ATTACKS if entry.control], ids=lambda entry: entry.name)
def test_plain_process_succeeds(entry: Attack, ordinary, planted) -> None:
    folder = Path(tempfile.mkdtemp(prefix="moorage-control-"))
    try:
        folder.chmod(0o777)
        shutil.copyfile(_some_library(ordinary.python), folder / "library.so")
        facts = {name: str(folder) for name in ("code", "site", "data", "tmp")}
        job = ordinary.job(entry.code, facts={**planted.facts, **facts, "library": str(folder / "library.so")})
        ordinary.env["STAGE_SECRET"] = "planted"
        result = ordinary.plain(job, pass_fds=(planted.fd,))
        assert result["outcome"] == "escaped", result
    finally:
        shutil.rmtree(folder, ignore_errors=True)
