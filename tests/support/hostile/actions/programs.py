"""Actions 19 to 23, and further ones: executing what is no part of the plugin."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess

from attacks.world import World, action


def _copied(world: World) -> str:
    """An executable of the plugin's own making."""
    path = world.data("program")
    shutil.copyfile(world["program"], path)
    os.chmod(path, 0o755)
    return path


@action
def exec_from_data(world: World) -> None:
    os.execv(_copied(world), ["program", "executed"])


@action
def dlopen_from_data(world: World) -> None:
    path = world.data("library.so")
    shutil.copyfile(world["library"], path)
    try:
        ctypes.CDLL(path)
    except OSError as error:
        raise PermissionError(13, str(error)) from error


@action
def memfd_exec(world: World) -> None:
    fd = os.memfd_create("program", 0)
    with open(world["program"], "rb") as source:
        os.write(fd, source.read())
    os.execve(fd, ["program", "executed"], {})


@action
def exec_bin_sh(world: World) -> None:
    os.execv(world.outside("/bin/sh"), ["sh", "-c", "echo executed"])


@action
def exec_setuid_su(world: World) -> None:
    os.execv(world.outside("/bin/su"), ["su", "--version"])


@action
def exec_interpreter(world: World) -> None:
    """A program that is there for a reason, and readable: only executing it is forbidden."""
    os.execv(world["program"], ["program", "executed"])


@action
def spawn_program(world: World) -> None:
    subprocess.run([world["program"], "spawned"], check=True, stdout=subprocess.DEVNULL)


@action
def fork_child(world: World) -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
