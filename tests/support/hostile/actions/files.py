"""Actions 1 to 5, 11 to 18, 24 to 30 and 85: files."""

from __future__ import annotations

import os
import socket
import stat

from attacks.world import World, action


def _read(path: str) -> str:
    with open(path) as stream:
        return stream.read(64)


def _append(path: str) -> None:
    with open(path, "a") as stream:
        stream.write("x")


def _connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)


@action
def read_shadow(world: World) -> None:
    _read(world.outside("/etc/shadow"))


@action
def read_ssh_key(world: World) -> str:
    return _read(world.planted("home/.ssh/id_ed25519"))


@action
def read_host_env_file(world: World) -> str:
    return _read(world.planted(".env"))


@action
def list_root_home(world: World) -> list:
    return os.listdir(world.planted("home"))


@action
def stat_host_secret(world: World) -> int:
    return os.stat(world.planted(".env")).st_size


@action
def other_plugin_data(world: World) -> str:
    return _read(world.planted("other/data/state"))


@action
def other_plugin_data_write(world: World) -> None:
    _append(world.planted("other/data/state"))


@action
def other_plugin_sock(world: World) -> None:
    _connect(world.planted("other/socket/h"))


@action
def write_own_venv(world: World) -> None:
    _append(f"{world['site']}/written.py")


@action
def write_own_code(world: World) -> None:
    _append(f"{world['code']}/written.py")


@action
def symlink_out(world: World) -> str:
    link = world.data("link")
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(world.planted(".env"), link)
    return _read(link)


@action
def hardlink_out(world: World) -> None:
    """Into the data folder, as the worker sees it or, where that is another mount, as the machine does."""
    targets = [world.outside(world["host_data"]), str(world["data"])]
    target = next((folder for folder in targets if os.path.isdir(folder)), targets[-1])
    link = f"{target}/hard{os.getpid()}"
    os.link(world.planted(".env"), link)
    os.unlink(link)


@action
def make_setuid(world: World) -> None:
    path = world.data("setuid")
    with open(path, "w"):
        pass
    try:
        os.chmod(path, 0o4755)
    finally:
        if not os.stat(path).st_mode & 0o6000:
            os.unlink(path)


@action
def chown_own_file(world: World) -> None:
    path = world.data("owned")
    with open(path, "w"):
        pass
    os.chown(path, os.getuid(), -1)


@action
def dev_shm_shared(world: World) -> str:
    return _read(world.outside(world["shared_memory"]))


@action
def mknod_dev(world: World) -> None:
    os.mknod(world.data("device"), 0o600 | stat.S_IFCHR, os.makedev(1, 1))


@action
def read_dev_mem(world: World) -> None:
    os.close(os.open(world.outside("/dev/mem"), os.O_RDONLY))


@action
def read_block_dev(world: World) -> None:
    os.close(os.open(world.outside(world["block_device"]), os.O_RDONLY))


@action
def tamper_sysctl(world: World) -> None:
    """Opens it for writing, and writes nothing."""
    os.close(os.open(world.outside("/proc/sys/kernel/core_pattern"), os.O_WRONLY))


@action
def sysfs_read(world: World) -> list:
    return os.listdir(world.outside("/sys/kernel"))


@action
def cgroup_escape(world: World) -> None:
    """Opens the file by which a process moves to another cgroup, and writes nothing."""
    os.close(os.open(world.outside(world["cgroup_procs"]), os.O_WRONLY))


@action
def docker_sock(world: World) -> None:
    _connect(world.planted("docker.sock"))


@action
def granted_sock(world: World) -> None:
    """Not an attack: what a worker must be able to do."""
    _connect(f"{world['socket']}/h")


@action
def unlink_granted_sock(world: World) -> None:
    os.unlink(f"{world['socket']}/spare")
