"""Actions 41, 42 and 89 to 93: more of something than a worker may have."""

from __future__ import annotations

import mmap
import os
import resource

from attacks.world import World, action

_MEBIBYTE = 1 << 20


@action
def raise_rlimit(world: World) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1))


@action
def core_dump_enable(world: World) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


@action
def fd_exhaust(world: World) -> None:
    for _ in range(2000):
        os.dup(0)


@action
def big_file(world: World) -> None:
    path = world.data("big")
    try:
        with open(path, "wb") as stream:
            stream.truncate(1 << 30)
    finally:
        os.unlink(path)


@action
def tmp_fill(world: World) -> None:
    path = f"{world['tmp']}/full"
    try:
        with open(path, "wb") as stream:
            for _ in range(80):
                stream.write(bytes(_MEBIBYTE))
    finally:
        os.unlink(path)


@action
def inode_fill(world: World) -> None:
    made = 0
    try:
        for made in range(12_000):
            os.close(os.open(f"{world['tmp']}/i{made}", os.O_CREAT | os.O_WRONLY))
    finally:
        for index in range(made):
            os.unlink(f"{world['tmp']}/i{index}")


@action
def mlock_big(world: World) -> None:
    import ctypes

    area = mmap.mmap(-1, 64 * _MEBIBYTE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    world.call("mlock", address, 64 * _MEBIBYTE)


@action
def memory_bomb(world: World) -> None:
    len(bytearray(600 * _MEBIBYTE))


@action
def thread_bomb(world: World) -> None:
    import threading

    go = threading.Event()
    threads = [threading.Thread(target=go.wait) for _ in range(200)]
    try:
        for thread in threads:
            thread.start()
    finally:
        go.set()
