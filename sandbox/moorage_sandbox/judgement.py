"""From evidence to the level that it proves, and to what is missing for the level above. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional, Tuple

from moorage_sandbox.evidence import Mounts, ProcessEvidence
from moorage_sandbox.landlock import coverage
from moorage_sandbox.layers import missing_at, missing_layer
from moorage_sandbox.plan import Mount, WorkerPlan
from moorage_sandbox.proc import ENTRIES as PROC_ENTRIES
from moorage_sandbox.report import LandlockFacts, MissingLayer, SandboxReport, SeccompFacts
from moorage_sandbox.restricted import LEAST_LANDLOCK_ABI, LEAST_LANDLOCK_ABI_OF_SHARED_USER

SECCOMP_FILTER = 2

#: Layers without which the level is what it is.
_NOTED_ONLY = ("landlock", "noexec", "processes", "cgroup")

_OPTIONS = {
    "read": frozenset({"ro", "nosuid", "nodev"}),
    "data": frozenset({"rw", "nosuid", "nodev", "noexec"}),
    "socket": frozenset({"ro", "nosuid", "nodev", "noexec"}),
    "device": frozenset({"nosuid", "noexec"}),
    "files": frozenset({"ro", "nosuid", "nodev", "noexec"}),
    "granted device": frozenset({"nosuid", "noexec"}),
}
_OWN = frozenset({"nosuid", "nodev", "noexec"})


@dataclass(frozen=True)
class Made:
    """What a worker was made as. Its evidence must show no less."""

    #: One of report.LEVELS.
    level: str = "full"
    #: Its mounts with the least of their options; None: it has those of the host.
    mounts: Optional[Mounts] = None
    #: Names of RLIMIT_ constants and the most that they may be.
    rlimits: Mapping[str, int] = field(default_factory=dict)
    seccomp: SeccompFacts = field(default_factory=SeccompFacts)
    #: Its pid in its own pid namespace: 2 where another process waits for it and ends with it.
    pid: int = 1


def made_of(worker: WorkerPlan, base_mounts: Iterable[Mount], seccomp: SeccompFacts) -> Made:
    """What the kernel must show of a worker with this plan."""
    mounts = None
    if worker.level != "restricted":
        mounts = _expected((*base_mounts, *worker.mounts, *worker.openings), worker)
    waited_for = worker.init or worker.level == "full-bwrap"
    return Made(worker.level, mounts, dict(worker.limits), seccomp, pid=2 if waited_for else 1)


def _expected(mounts: Iterable[Mount], worker: WorkerPlan) -> Mounts:
    through_bwrap = worker.level == "full-bwrap"
    options = {mount.target: _OPTIONS[mount.access] for mount in mounts}
    options["/"] = frozenset({"ro", "nosuid", "nodev"})
    for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - the worker's own
        options[folder] = _OWN
    if through_bwrap:
        # It has no noexec, and puts the files of /etc into the root itself.
        return {point: needed - {"noexec"} for point, needed in options.items()}
    options["/etc"] = _OWN | {"ro"}
    if worker.init:
        options["/venv/bin"] = options["/venv/pyvenv.cfg"] = frozenset({"ro", "nosuid", "nodev"})
    if worker.proc:
        own = f"/proc/{2 if worker.init else 1}"
        points = ("/proc", *(f"{own}/{entry}" for entry in PROC_ENTRIES))
        options.update(dict.fromkeys(points, _OWN | {"ro"}))
    return options


def judge(
    worker: ProcessEvidence,
    host: ProcessEvidence,
    landlock_abi: int,
    *,
    named: bool = False,
    made: Optional[Made] = None,
) -> SandboxReport:
    """The level that this evidence proves. ``named``: the host holds the listener of its filter.

    The Landlock ABI is the only thing taken from the worker's word, given before anything of a plugin ran.
    """
    made = made if made is not None else Made()
    least_landlock = _least_landlock(worker, host)
    problems = _mount_problems(worker.mounts, made.mounts)
    layers = {
        "user": _user(worker, host),
        "mount": _differs(worker, host, "mnt") if not problems else "",
        "pid": _pid(worker, host, made.pid),
        "network": _differs(worker, host, "net"),
        "ipc": _differs(worker, host, "ipc"),
        "uts": _differs(worker, host, "uts"),
        "seccomp": _seccomp(worker, host, named=named),
        "privileges": _privileges(worker, host),
        "limits": _limits(worker, made.rlimits),
        "landlock": ""
        if made.level == "restricted" and landlock_abi < least_landlock
        else landlock_words(landlock_abi),
    }
    if made.level == "full-bwrap":
        layers["noexec"] = ""
    if made.rlimits and "RLIMIT_NPROC" not in made.rlimits:
        layers["processes"] = ""
    level = _level(layers, made, enough_landlock=landlock_abi >= least_landlock)
    filter_facts = SeccompFacts(made.seccomp.arch, made.seccomp.filter_hash, named)
    return SandboxReport(
        level=level,
        layers={layer: text or "missing" for layer, text in layers.items()},
        missing=tuple(_missing(layer, level, problems) for layer, text in layers.items() if not text),
        landlock=LandlockFacts(landlock_abi, **coverage(landlock_abi)),
        seccomp=filter_facts if layers["seccomp"] else SeccompFacts(),
        uid=worker.uids[1],
        capabilities=worker.effective_capabilities | worker.bounding_capabilities,
        no_new_privileges=worker.no_new_privileges,
        proc=_proc(worker, host),
        rlimits=worker.rlimits,
        kill="pid namespace" if layers["pid"] else "process",
        memory="rlimit_data" if worker.data_bytes is not None else "",
        data="watchdog",
    )


def _seccomp(worker: ProcessEvidence, host: ProcessEvidence, *, named: bool) -> str:
    """In a container the host has a filter already, which every worker inherits: that one is not the worker's."""
    if worker.seccomp != SECCOMP_FILTER:
        return ""
    if worker.filters is not None and host.filters is not None and worker.filters <= host.filters:
        return ""
    return "filter, forbidden calls are named" if named else "filter, forbidden calls kill unnamed"


def _differs(worker: ProcessEvidence, host: ProcessEvidence, kind: str) -> str:
    own = worker.namespaces[kind]
    return "own namespace" if own is not None and own != host.namespaces[kind] else ""


def _pid(worker: ProcessEvidence, host: ProcessEvidence, expected: int) -> str:
    return _differs(worker, host, "pid") if worker.pids[-1] == expected else ""


def _user(worker: ProcessEvidence, host: ProcessEvidence) -> str:
    own = len(set(worker.uids)) == 1 and worker.uids[0] not in (0, *host.uids)
    if own and 0 not in worker.gids and not worker.groups:
        return f"uid {worker.uids[0]}"
    return "own user namespace" if _differs(worker, host, "user") and 0 not in worker.uids else ""


def _privileges(worker: ProcessEvidence, host: ProcessEvidence) -> str:
    """An ordinary user's process keeps its bounding set where it has no user namespace: nothing can be gained by it."""
    if worker.effective_capabilities or not worker.no_new_privileges or 0 in worker.uids:
        return ""
    if worker.bounding_capabilities and _user(worker, host):
        return ""
    return "no capabilities, and no way to gain any"


def _limits(worker: ProcessEvidence, most: Mapping[str, int]) -> str:
    if worker.data_bytes is None or worker.processes is None:
        return ""
    for name, bound in most.items():
        actual = worker.rlimits.get(name)
        if actual is None or actual > bound:
            return ""
    return f"memory {worker.data_bytes // 2**20} MiB, {worker.processes} processes"


def _proc(worker: ProcessEvidence, host: ProcessEvidence) -> str:
    if not _differs(worker, host, "mnt"):
        return "host"
    return "own" if worker.mounts is not None and "/proc" in worker.mounts else "none"


def _mount_problems(found: Optional[Mounts], expected: Optional[Mounts]) -> Tuple[str, ...]:
    """Where the mounts are not those of the plan, option by option."""
    if expected is None or found is None:
        return ()
    result: List[str] = [f"{point} is mounted and should not be" for point in sorted(found.keys() - expected.keys())]
    result += [f"{point} is not mounted" for point in sorted(expected.keys() - found.keys())]
    for point in sorted(expected.keys() & found.keys()):
        lacking: FrozenSet[str] = expected[point] - found[point]
        if lacking:
            result.append(f"{point} lacks {', '.join(sorted(lacking))}")
    return tuple(result)


def landlock_words(abi: int) -> str:
    """What a Landlock ABI covers; "" for none."""
    words = {"fs": "files", "tcp": "TCP", "scopes": "scopes", "unix": "sockets"}
    parts = [words[part] for part, covered in coverage(abi).items() if covered]
    return f"ABI {abi}: {', '.join(parts)}" if parts else ""


def _level(layers: Mapping[str, str], made: Made, *, enough_landlock: bool) -> str:
    """Landlock's absence alone lowers nothing where there is a mount namespace: it covers the same files."""
    if all(text for layer, text in layers.items() if layer not in _NOTED_ONLY):
        return made.level if made.level in ("full", "full-bwrap") else "full"
    held = all(layers[layer] for layer in ("seccomp", "privileges", "limits"))
    return "restricted" if held and enough_landlock else "none"


def _least_landlock(worker: ProcessEvidence, host: ProcessEvidence) -> int:
    """Without namespaces: nothing else keeps a worker that is the host's own user from signalling the host."""
    return LEAST_LANDLOCK_ABI if _user(worker, host) else LEAST_LANDLOCK_ABI_OF_SHARED_USER


def decisive(report: SandboxReport, level: str) -> MissingLayer:
    """Of what a worker misses that was to be of this level: the first layer that the level needs."""
    needed = ("seccomp", "privileges", "limits", "landlock")
    missing = [entry for entry in report.missing if level != "restricted" or entry.layer in needed]
    return (missing or list(report.missing))[0]


def _missing(layer: str, level: str, problems: Tuple[str, ...]) -> MissingLayer:
    if layer == "mount" and problems:
        return missing_layer(layer, 0, f"The worker's mounts are not those that were made: {'; '.join(problems)}.")
    return missing_at(level, layer, f"/proc of the running worker does not show the layer {layer!r}.")


def unique(missing: Iterable[MissingLayer]) -> Tuple[MissingLayer, ...]:
    """The first entry for each layer."""
    first: Dict[str, MissingLayer] = {}
    for entry in missing:
        first.setdefault(entry.layer, entry)
    return tuple(first.values())
