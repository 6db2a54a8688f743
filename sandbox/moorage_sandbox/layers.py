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
    "cgroup": Layer(
        "Memory and processes are bounded by rlimits alone, which do not count a whole tree of processes nor shared"
        " memory; bounds on CPU time have no effect.",
        "Run the host as root, or as a user in a delegated control group (systemd: Delegate=yes; in a container, mount"
        " /sys/fs/cgroup writable).",
    ),
    "landlock": Layer(
        "Only the mount namespace keeps files from the plugin; there is no second layer.",
        "Use a kernel from 5.13 on (for the level restricted from 6.7 on, and from 6.12 on where the host is no root),"
        " with `landlock` among its security modules (lsm=).",
    ),
    "seccomp": Layer(
        "The kernel's whole system call surface would be open to the plugin.",
        "Use a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64; in a container, let seccomp(2) pass.",
    ),
    "noexec": Layer(
        "Native code that the plugin writes to /data or /tmp can be loaded into its own process; the system call filter"
        " holds it there as it holds everything else.",
        "Let the host make namespaces itself: " + _NAMESPACES[0].lower() + _NAMESPACES[1:],
    ),
    "processes": Layer(
        "The plugin may make as many threads as its user has left: a limit would count the host's own among them.",
        "Run the host as root, where each plugin has a user of its own, or in a delegated control group.",
    ),
    "bwrap": Layer(
        "Where the host may not make namespaces itself, nobody makes them for it.",
        "Install bubblewrap 0.8 or newer, and let AppArmor's profile for it pass user namespaces.",
    ),
    "zygote": Layer("No worker can start.", _DEFECT),
    "files": Layer(
        "No worker can start.",
        "Look whether interpreter, runtime folder and the plugin's folders exist, and whether all may read them.",
    ),
    "proc": Layer(
        "The plugin was granted sandbox.proc, and no /proc can be mounted for it.",
        "A container hides parts of its /proc, and then the kernel lets nobody mount another one: unmask /proc there"
        " (--security-opt systempaths=unconfined), or revoke sandbox.proc.",
    ),
    "setup": Layer("No worker can start.", _DEFECT),
}

#: Layers that no other level would make up for.
DEFECTS = ("files", "setup", "zygote", "cgroup")

#: By the names given to ``setup.step``.
_LAYER_OF_STEP: Dict[str, str] = {
    "user namespace": "user",
    "pid namespace": "pid",
    "mount namespace": "mount",
    "namespaces": "network",
    "loopback": "network",
    "mounts": "mount",
    "host name": "uts",
    "limits": "limits",
    "privileges": "privileges",
    "Landlock": "landlock",
    "seccomp": "seccomp",
    "interpreter": "files",
    "proc": "proc",
    "first process": "pid",
    "bwrap": "bwrap",
    "zygote": "zygote",
    "imports": "files",
    "granted files": "files",
}


#: What is lost at the level "restricted", where Landlock and the filter still hold.
_WHEN_RESTRICTED = {
    "user": "Other processes of the host's user are kept from the plugin by Landlock and the filter alone.",
    "mount": "The named sockets of other programs (databases, Docker, other plugins) can be connected to where file"
    " permissions allow it, names of files can be found out with stat(2), and the room on disk is not bounded.",
    "pid": "The plugin can find out which process ids exist; that its descendants end with it takes a control group.",
    "network": "The system call filter and Landlock's rules for TCP alone keep the plugin from the network.",
    "ipc": "The system call filter alone keeps the plugin from the shared memory and queues of other programs.",
}


def missing_at(level: str, layer: str, reason: str) -> MissingLayer:
    """A layer that a worker of this level has not."""
    words = LAYERS[layer]
    consequence = _WHEN_RESTRICTED.get(layer, words.consequence) if level == "restricted" else words.consequence
    return MissingLayer(layer, 0, reason, consequence, words.remedy)


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
