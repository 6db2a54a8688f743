"""The zygote's first life, on the host's file system: make its namespaces and the base root, then go on inside.

The host runs the interpreter with CODE and an order on standard input: no argument and no variable holds a path.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Dict, NoReturn

from moorage_sandbox import image, plan, syscalls, wire
from moorage_sandbox.mounts import enter_base_root
from moorage_sandbox.namespaces import enter_user_namespace
from moorage_sandbox.plan import ZygotePlan
from moorage_sandbox.setup import SetupFailed, step

CODE = (
    "import json, sys; order = json.load(sys.stdin); sys.path.append(order['sdk']); "
    "from moorage_sandbox.boot import main; main(order)"
)


def main(order: Dict[str, Any]) -> NoReturn:
    """``order``: "sdk" (folder of this package), "control" (descriptor), "plan" (a ZygotePlan as JSON text)."""
    image.place(order["control"], wire.CONTROL_FD)
    control = socket.socket(fileno=wire.CONTROL_FD)
    try:
        _enter(plan.zygote_plan_from(order["plan"].encode()), order["sdk"])
    except SetupFailed as error:
        control.send(error.failure.as_json())
    os._exit(wire.SETUP_EXIT)


def _enter(zygote: ZygotePlan, sdk: str) -> NoReturn:
    """Below the level "full" it only becomes nobody's child, and goes on where it stands."""
    with step("descriptors"):
        os.umask(0o022)
        image.place(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
        # It stands for the host's own tree of processes: workers write their maps through it.
        image.place(os.open("/proc", os.O_PATH | os.O_CLOEXEC), wire.PROC_FD)
        syscalls.close_range(wire.PROC_FD + 1)
    if zygote.level == "full":
        _enter_namespaces(zygote)
    elif os.fork():
        os._exit(0)
    with step("interpreter"):
        image.leave_note(plan.as_json(zygote.preload), wire.PRELOAD_PLAN_FD)
        # Below "full" this package is still where the order said.
        image.execute(zygote.executable, zygote.library_path, "zygote", "/sdk" if zygote.level == "full" else sdk)


def _enter_namespaces(zygote: ZygotePlan) -> None:
    if zygote.user_namespace:
        with step("user namespace"):
            enter_user_namespace(wire.PROC_FD, 0, 0)
    _become_first_process()
    with step("mount namespace"):
        syscalls.unshare(syscalls.CLONE_NEWNS)
    with step("mounts"):
        enter_base_root(zygote)


def _become_first_process() -> None:
    """Goes on as pid 1 of a new pid namespace: when it dies, the kernel ends everything in there."""
    with step("pid namespace"):
        syscalls.unshare(syscalls.CLONE_NEWPID)
        if os.fork():
            os._exit(0)
        # /proc shows the host's namespace, in which "self" is found by who asks.
        own = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=wire.PROC_FD)
        image.place(own, wire.OWN_PID_NAMESPACE_FD)
