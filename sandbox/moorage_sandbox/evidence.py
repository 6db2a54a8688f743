"""What the kernel says of one worker, read from the host's side. What the worker says of itself counts for nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from moorage_sandbox.layers import missing_layer
from moorage_sandbox.report import MissingLayer, SandboxReport

#: Entries of /proc/<pid>/ns.
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts")
SECCOMP_FILTER = 2


@dataclass(frozen=True)
class ProcessEvidence:
    """One process as /proc shows it."""

    #: Kind of namespace to its identity; None where it may not be read.
    namespaces: Mapping[str, Optional[str]]
    uids: Tuple[int, ...]
    effective_capabilities: int
    bounding_capabilities: int
    no_new_privileges: bool
    seccomp: int
    #: Most bytes of data, and most processes of its user; None for no bound.
    data_bytes: Optional[int]
    processes: Optional[int]
    #: Its pid in each pid namespace, from the reader's inwards.
    pids: Tuple[int, ...]


def read_evidence(pid: int) -> ProcessEvidence:
    """Reads /proc/<pid>. Raises OSError when the process is gone."""
    status = _status(Path(f"/proc/{pid}/status").read_text())
    limits = Path(f"/proc/{pid}/limits").read_text()
    return ProcessEvidence(
        namespaces={kind: _namespace(pid, kind) for kind in (*NAMESPACES, "user")},
        uids=tuple(int(word) for word in status["Uid"].split()),
        effective_capabilities=int(status["CapEff"], 16) | int(status["CapPrm"], 16),
        bounding_capabilities=int(status["CapBnd"], 16),
        no_new_privileges=status["NoNewPrivs"] == "1",
        seccomp=int(status["Seccomp"]),
        data_bytes=_hard_limit(limits, "Max data size"),
        processes=_hard_limit(limits, "Max processes"),
        pids=tuple(int(word) for word in status["NSpid"].split()),
    )


def _status(text: str) -> Dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def _hard_limit(limits: str, name: str) -> Optional[int]:
    line = next(line for line in limits.splitlines() if line.startswith(name))
    hard = line[len(name) :].split()[1]
    return None if hard == "unlimited" else int(hard)


def _namespace(pid: int, kind: str) -> Optional[str]:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")  # noqa: PTH115 - the target is no path
    except PermissionError:
        return None


def judge(worker: ProcessEvidence, host: ProcessEvidence, landlock_abi: int, *, named: bool = False) -> SandboxReport:
    """The level that this evidence proves. Pure. ``named``: the host holds the listener of its filter.

    The Landlock ABI is the only thing taken from the worker's word, given before anything of a plugin ran.
    """
    layers = {
        "mount": _differs(worker, host, "mnt"),
        "pid": _differs(worker, host, "pid") if worker.pids[-1] == 1 else "",
        "network": _differs(worker, host, "net"),
        "ipc": _differs(worker, host, "ipc"),
        "uts": _differs(worker, host, "uts"),
        "seccomp": _seccomp(worker, named=named),
        "privileges": _privileges(worker, host),
        "limits": _limits(worker),
        "landlock": landlock_words(landlock_abi),
    }
    missing = tuple(_missing(layer) for layer, text in layers.items() if not text)
    return SandboxReport(_level(layers), {layer: text or "missing" for layer, text in layers.items()}, missing)


def _seccomp(worker: ProcessEvidence, *, named: bool) -> str:
    if worker.seccomp != SECCOMP_FILTER:
        return ""
    return "filter, forbidden calls are named" if named else "filter, forbidden calls kill unnamed"


def _differs(worker: ProcessEvidence, host: ProcessEvidence, kind: str) -> str:
    own = worker.namespaces[kind]
    return "own namespace" if own is not None and own != host.namespaces[kind] else ""


def _privileges(worker: ProcessEvidence, host: ProcessEvidence) -> str:
    if worker.effective_capabilities or worker.bounding_capabilities or not worker.no_new_privileges:
        return ""
    if len(set(worker.uids)) == 1 and worker.uids[0] not in (0, *host.uids):
        return f"no capabilities, uid {worker.uids[0]}"
    return "no capabilities, own user namespace" if _differs(worker, host, "user") else ""


def _limits(worker: ProcessEvidence) -> str:
    if worker.data_bytes is None or worker.processes is None:
        return ""
    return f"memory {worker.data_bytes // 2**20} MiB, {worker.processes} processes"


def landlock_words(abi: int) -> str:
    """What a Landlock ABI covers; "" for none."""
    parts = [word for least, word in ((1, "files"), (4, "TCP"), (6, "scopes"), (9, "sockets")) if abi >= least]
    return f"ABI {abi}: {', '.join(parts)}" if parts else ""


def _level(layers: Mapping[str, str]) -> str:
    """Landlock's absence alone lowers nothing: the mount namespace covers the same files."""
    return "full" if all(text for layer, text in layers.items() if layer != "landlock") else "none"


def _missing(layer: str) -> MissingLayer:
    return missing_layer(layer, 0, f"/proc of the running worker does not show the layer {layer!r}.")
