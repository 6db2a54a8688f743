"""What works in a worker, and what it looks like from inside: as root and as an ordinary user, forked and fresh."""

from __future__ import annotations

import pytest

from moorage_sandbox.policy import DEFAULT_POLICY

WORKER_UID = 61_777

pytestmark = pytest.mark.system

CALL_GRPC = """
import asyncio, grpc.aio
async def main():
    async with grpc.aio.insecure_channel('unix:///run/host/h') as channel:
        echo = channel.unary_unary('/stage/echo')
        return [len(await echo(bytes(size), timeout=10)) for size in (1, 100_000, 3_000_000)]
value = asyncio.run(main())
"""

LOOK_AROUND = """
import importlib.metadata, platform, pwd, site, sysconfig, in_venv, in_code, threading
def is_open(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True
value = {
    'fds': [fd for fd in range(300) if is_open(fd)],
    'stdin': os.fstat(0).st_rdev,
    'null': os.stat('/dev/null').st_rdev,
    'prefix': [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.executable, sysconfig.get_paths()['purelib']],
    'path': sys.path,
    'env': dict(os.environ),
    'modules': [in_venv.WHERE, in_code.WHERE],
    'grpcio': importlib.metadata.distribution('grpcio').locate_file('').as_posix(),
    'grpc': __import__('grpc').__file__,
    'user': [os.getuid(), os.geteuid(), os.getgid(), os.getgroups(), pwd.getpwuid(os.getuid()).pw_name],
    'pid': os.getpid(),
    'node': platform.node(),
    'cwd': os.getcwd(),
    'argv': sys.argv,
    'threads': threading.active_count(),
}
"""


@pytest.fixture(scope="module", params=["zygote", "fresh"])
def start(request) -> str:
    return request.param


def test_grpc_over_the_mounted_socket(stage, start) -> None:
    (result,) = stage.run(stage.job(CALL_GRPC, start=start), echo=True)
    assert result.get("value") == [1, 100_000, 3_000_000], result


def test_looks_like_the_plugins_own_environment(stage, start) -> None:
    (result,) = stage.run(stage.job(LOOK_AROUND, start=start))
    seen = result["value"]
    assert seen["fds"] == [0, 1, 2]
    assert seen["stdin"] == seen["null"]
    assert seen["prefix"] == ["/venv", "/venv", "/py", "/venv/bin/python", stage.site_packages]
    assert seen["path"][-4:] == ["/runtime", stage.site_packages, "/plugin", "/plugin/src"]
    assert seen["modules"] == [f"{stage.site_packages}/in_venv.py", "/plugin/src/in_code.py"]
    assert (seen["grpcio"].rstrip("/"), seen["grpc"]) == ("/runtime", "/runtime/grpc/__init__.py")
    uid = seen["user"][0]
    assert seen["user"] == [uid, uid, uid, seen["user"][3], DEFAULT_POLICY.user_name]
    assert (uid, seen["pid"], seen["threads"]) == (WORKER_UID, 1, 1)
    assert (seen["node"], seen["cwd"], seen["argv"]) == ("plugin", "/tmp", ["plugin"])
    assert set(seen["env"]) == {
        "PATH", "HOME", "TMPDIR", "MOORAGE_DATA", "LANG", "VIRTUAL_ENV", "GRPC_ENABLE_FORK_SUPPORT", "GRPC_EXPERIMENTS",
        "STAGE",
    }  # fmt: skip


def test_own_pins_come_first(stage) -> None:
    (stage.base / "venv" / "lib").joinpath(*stage.site_packages.split("/")[3:], "grpc.py").write_text("OWN = True\n")
    try:
        code = "import grpc; value = [grpc.OWN, sys.path[-1]]"
        (result,) = stage.run(stage.job(code, use_runtime=False))
        assert result.get("value") == [True, "/runtime"], result
    finally:
        (stage.base / "venv" / "lib").joinpath(*stage.site_packages.split("/")[3:], "grpc.py").unlink()


def test_pth_files_run_behind_the_filter(stage, start) -> None:
    site_packages = (stage.base / "venv" / "lib").joinpath(*stage.site_packages.split("/")[3:])
    pth = site_packages / "hostile.pth"
    pth.write_text("import builtins, os; exec('try: os.fork()\\nexcept OSError as e: builtins.SEEN = e.errno')\n")
    try:
        (result,) = stage.run(stage.job("import builtins; value = builtins.SEEN", start=start))
        assert result.get("value") == 1, result
    finally:
        pth.unlink()


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("os._exit(4)", "exit 4"),
        ("raise SystemExit(5)", "exit 5"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGSEGV"),
        ("import signal; os.kill(os.getpid(), signal.SIGKILL); os._exit(6)", "exit 6"),
    ],
    ids=["_exit", "SystemExit", "segfault", "abort", "kill_self"],
)
def test_how_a_worker_ends(stage, start, code, outcome) -> None:
    (result,) = stage.run(stage.job(code, start=start))
    assert result["outcome"] == outcome


@pytest.mark.parametrize("how", ["zygote", "fresh"])
def test_every_python(any_python, how) -> None:
    code = LOOK_AROUND + CALL_GRPC.replace("value = asyncio", "value['sizes'] = asyncio")
    (result,) = any_python.run(any_python.job(code, start=how), echo=True)
    assert result.get("level") == "full", result
    assert result["value"]["sizes"] == [1, 100_000, 3_000_000]
    assert result["value"]["fds"] == [0, 1, 2]
