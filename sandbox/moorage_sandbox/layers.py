"""The sandbox's layers in an operator's words: what is lost without one, and what can be done about it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Dict, Mapping

from moorage_sandbox.report import MissingLayer
from moorage_sandbox.setup import Failure


@dataclass(frozen=True)
class Layer:
    consequence: str
    remedy: str


_NAMESPACES = (
    "Run the host as root; or as an ordinary user on a kernel that lets such users make user namespaces"
    " (user.max_user_namespaces above 0, kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile with"
    " `userns,`); in a container, let its seccomp profile pass unshare and mount."
)
_DEFECT = "Nothing that an operator sets leads here: please report it."

LAYERS: Mapping[str, Layer] = {
    "user": Layer("The plugin could not be told apart from the host's own user.", _NAMESPACES),
    "mount": Layer(
        "Files of this machine that its user may read, and other programs' sockets, would be within reach.", _NAMESPACES
    ),
    "pid": Layer("Processes that the plugin leaves behind would not be certain to end with it.", _NAMESPACES),
    "network": Layer("Only the system call filter would keep the plugin from the network.", _NAMESPACES),
    "ipc": Layer("Shared memory and message queues of other programs would be within reach.", _NAMESPACES),
    "uts": Layer("The plugin would see this machine's name.", _NAMESPACES),
    "privileges": Layer("The plugin would keep rights of the host's user, or could gain some.", _DEFECT),
    "limits": Layer("Memory, processes and files of the plugin would have no bound.", _DEFECT),
    "landlock": Layer(
        "Only the mount namespace keeps files from the plugin; there is no second layer.",
        "Use a kernel from 5.13 on, with `landlock` among its security modules (lsm=).",
    ),
    "seccomp": Layer(
        "The kernel's whole system call surface would be open to the plugin.",
        "Use a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64; in a container, let seccomp(2) pass.",
    ),
    "files": Layer(
        "No worker can start.",
        "Look whether interpreter, runtime folder and the plugin's folders exist, and whether all may read them.",
    ),
    "setup": Layer("No worker can start.", _DEFECT),
}

#: By the names given to ``setup.step``.
_LAYER_OF_STEP: Dict[str, str] = {
    "user namespace": "user",
    "pid namespace": "pid",
    "mount namespace": "mount",
    "namespaces": "network",
    "mounts": "mount",
    "host name": "uts",
    "limits": "limits",
    "privileges": "privileges",
    "Landlock": "landlock",
    "seccomp": "seccomp",
    "interpreter": "files",
    "imports": "files",
}


def missing_layer(layer: str, error_number: int, reason: str) -> MissingLayer:
    words = LAYERS[layer]
    return MissingLayer(layer, error_number, reason, words.consequence, words.remedy)


def layer_of(failure: Failure) -> MissingLayer:
    """What a failed step means for an operator."""
    layer = _LAYER_OF_STEP.get(failure.step, "setup")
    if failure.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
        # The kernel had the layer; what it was to be made of was not there.
        layer = "files"
    return missing_layer(layer, failure.errno, f"{failure.step}: {failure.reason}.")
