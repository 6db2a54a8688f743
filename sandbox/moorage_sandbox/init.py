"""The first process of a worker that may have others: it reaps them, and tells the host how the plugin ended.

Without it the plugin would be process 1, to which orphans fall and which the kernel shields from signals of its own. It
has no capability, no descriptor but the one to the host, and a filter that lets it do nothing but its work.
"""

from __future__ import annotations

import os
from typing import NoReturn

from moorage_sandbox import confine, syscalls, wire
from moorage_sandbox.plan import WorkerPlan
from moorage_sandbox.setup import SetupFailed, step


def fork_plugin(worker: WorkerPlan) -> None:
    """Returns in the plugin's process, once the first process, which stays behind, is confined."""
    read, write = os.pipe()
    with step("first process"):
        plugin = os.fork()
    if plugin:
        os.close(read)
        _run(plugin, worker, write)
    os.close(write)
    with step("first process"):
        if os.read(read, 1) != b"1":
            raise RuntimeError("it could not be confined")
    os.close(read)


def _run(plugin: int, worker: WorkerPlan, ready: int) -> NoReturn:
    """Its end is the end of everything that the plugin has left: the kernel sees to it."""
    try:
        with step("first process"):
            _confine(worker, ready)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == plugin:
                os.write(wire.STATUS_FD, wire.encode(ended=status))
                os._exit(0)
    except SetupFailed as error:
        os.write(wire.STATUS_FD, error.failure.as_json())
    finally:
        os._exit(wire.SETUP_EXIT)


def _confine(worker: WorkerPlan, ready: int) -> None:
    syscalls.close_range(0, wire.STATUS_FD - 1)
    syscalls.close_range(wire.STATUS_FD + 1, ready - 1)
    syscalls.close_range(ready + 1)
    confine.set_limits(worker.limits)
    confine.drop_privileges(worker.uid, worker.gid, change_user=not worker.user_namespace)
    confine.seal_init()
    os.write(ready, b"1")
    os.close(ready)
