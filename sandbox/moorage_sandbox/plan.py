"""From policy and paths to plans: what a zygote and a worker do, step by step, as data that travels as JSON. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional, Tuple

from moorage_sandbox.inner import ProgramPlan, frozen, plain, program_from
from moorage_sandbox.interpreter import Interpreter
from moorage_sandbox.libraries import Libraries
from moorage_sandbox.policy import Policy
from moorage_sandbox.seccomp import Variant

DEVICES = ("null", "zero", "full", "random", "urandom")
ZONES = "/usr/share/zoneinfo"

#: Folders of the base root that workers mount on.
MOUNT_POINTS = ("/venv", "/plugin", "/data", "/run/host", "/tmp", "/dev/shm", "/etc")  # noqa: S108 - in the empty root

#: The zygote imports these before it forks, so that workers share them; "module:function" is called as well.
ZYGOTE_IMPORTS = (
    "asyncio",
    "site",
    "grpc.aio",
    "google.protobuf.descriptor_pool",
    "moorage_sdk.config",
    "moorage_sdk.kafka",
    "moorage_sdk.sql",
    "moorage_sdk.worker.bootstrap",
    "moorage_sdk.worker.rehearsal:rehearse",
)
ENTRY = "moorage_sdk.worker.bootstrap:main"

#: gRPC reads both when it is first used; the host's own process has the same (``moorage/__init__.py``).
GRPC_ENV = {
    # Nothing forks after the channel exists; gRPC's fork handlers would only cost.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    # Without its event engine the thread that waits for a socket also takes what arrives, and hands over once instead
    # of twice: a message there and back takes 74 us instead of 115.
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
}


@dataclass(frozen=True)
class Mount:
    """A bind mount, nosuid always."""

    source: str
    target: str
    #: "read": read-only. "data": writable, nothing executes. "socket": read-only, nothing executes. "device".
    #: Of what was granted: "files": read-only, nothing executes. "granted device".
    access: str
    #: Device and inode that it must have; (): whatever is there.
    identity: Tuple[int, ...] = ()


@dataclass(frozen=True)
class OwnRoot:
    """The parts of the base root, to be put together once more for one worker alone."""

    mounts: Tuple[Mount, ...]
    links: Tuple[Tuple[str, str], ...]
    folders: Tuple[str, ...]


@dataclass(frozen=True)
class PreloadPlan:
    """What a zygote imports before it forks."""

    sys_path: Tuple[str, ...]
    imports: Tuple[str, ...]
    #: What sys.prefix and sys.base_prefix are while it imports.
    prefix: str = "/venv"
    base_prefix: str = "/py"
    #: Whether zygote and workers each are the first process of a pid namespace.
    pid_namespaces: bool = True


@dataclass(frozen=True)
class ZygotePlan:
    """The root that all workers of one interpreter and runtime share, and what is imported in it."""

    #: True for a host without privilege: namespaces are made inside a user namespace.
    user_namespace: bool
    mounts: Tuple[Mount, ...]
    #: Symbolic links, path to target.
    links: Tuple[Tuple[str, str], ...]
    folders: Tuple[str, ...]
    #: The interpreter, as seen from the root.
    executable: str
    library_path: str
    preload: PreloadPlan
    #: One of report.LEVELS: the level that its workers are made at. Below "full" it stays on the host's file system.
    level: str = "full"


@dataclass(frozen=True)
class WorkerPlan:
    #: "zygote": the fork goes on. "fresh": it executes the interpreter anew.
    start: str
    #: True: it stays the host's user, in a user namespace of its own. False: it becomes uid.
    user_namespace: bool
    mounts: Tuple[Mount, ...]
    #: Path and access (landlock.ACCESS) of everything that may be opened.
    files: Tuple[Tuple[str, str], ...]
    uid: int
    gid: int
    #: Names of RLIMIT_ constants and values.
    limits: Tuple[Tuple[str, int], ...]
    tmp_bytes: int
    tmp_files: int
    host_name: str
    etc: Tuple[Tuple[str, str], ...]
    executable: str
    library_path: str
    program: ProgramPlan
    filter: Variant
    #: One of report.LEVELS.
    level: str = "full"
    #: At "full-bwrap": the command that makes namespaces and root, and then executes the interpreter.
    wrapper: Tuple[str, ...] = ()
    #: At "full-bwrap": what the wrapper reads from a descriptor of its own.
    options: Tuple[str, ...] = ()
    #: True: a first process waits for the plugin's, which may have others.
    init: bool = False
    #: True: its own entries of /proc.
    proc: bool = False
    #: Where the host serves its connections to the world; 0: it has none.
    proxy_port: int = 0
    #: What is seen beside the usual, and the root for it.
    openings: Tuple[Mount, ...] = ()
    own_root: Optional[OwnRoot] = None


@dataclass(frozen=True)
class WorkerPaths:
    """Folders on the host that one worker sees. Real paths."""

    venv: str
    code: str
    data: str
    socket_folder: str


@dataclass(frozen=True)
class WorkerWishes:
    """What is asked for one worker."""

    paths: WorkerPaths
    #: Who it becomes. For a host without privilege only what it calls itself in its user namespace.
    uid: int
    memory_bytes: int
    pids: int
    start: str = "zygote"
    #: False: grpcio and protobuf of its own venv come first; it starts fresh then.
    use_runtime: bool = True
    #: Entries below the code folder that go on sys.path, "" for itself.
    code_roots: Tuple[str, ...] = ("",)
    env: Tuple[Tuple[str, str], ...] = ()
    entry: str = ENTRY
    #: What is forbidden fails and is named, instead of ending the worker.
    development: bool = False


def zygote_plan(
    interpreter: Interpreter,
    libraries: Libraries,
    sdk: str,
    runtime: str,
    *,
    zones: bool,
    user_namespace: bool,
    imports: Tuple[str, ...] = ZYGOTE_IMPORTS,
) -> ZygotePlan:
    """The base root: libraries, /py, /sdk, /runtime, five devices, time zones if the host has them."""
    mounts = [Mount(folder, folder, "read") for folder in libraries.folders]
    mounts += [Mount(path, interpreter.inside(path), "read") for path in interpreter.needed]
    mounts += [Mount(sdk, "/sdk", "read"), Mount(runtime, "/runtime", "read")]
    if zones:
        mounts.append(Mount(ZONES, ZONES, "read"))
    mounts += [Mount(f"/dev/{name}", f"/dev/{name}", "device") for name in DEVICES]
    return ZygotePlan(
        user_namespace=user_namespace,
        mounts=tuple(mounts),
        links=libraries.links,
        folders=MOUNT_POINTS,
        executable=interpreter.inside(interpreter.executable),
        library_path="/py/lib",
        preload=PreloadPlan((*interpreter.module_path, "/sdk", "/runtime"), imports),
    )


def worker_plan(base: ZygotePlan, interpreter: Interpreter, policy: Policy, wishes: WorkerWishes) -> WorkerPlan:
    """One worker's own mounts, bounds and program, on top of the base root."""
    paths = wishes.paths
    mounts = (
        Mount(paths.venv, "/venv", "read"),
        Mount(paths.code, "/plugin", "read"),
        Mount(paths.data, "/data", "data"),
        Mount(paths.socket_folder, "/run/host", "socket"),
    )
    return WorkerPlan(
        start=wishes.start if wishes.use_runtime else "fresh",
        user_namespace=base.user_namespace,
        mounts=mounts,
        files=_files(base.mounts + mounts),
        uid=wishes.uid,
        gid=wishes.uid,
        limits=_limits(policy, wishes),
        tmp_bytes=policy.tmp_bytes,
        tmp_files=policy.tmp_files,
        host_name=policy.host_name,
        etc=_etc(policy.user_name, wishes.uid),
        executable=base.executable,
        library_path=base.library_path,
        program=_program(interpreter, wishes),
        filter=Variant(listener=True, development=wishes.development),
    )


def _files(mounts: Tuple[Mount, ...]) -> Tuple[Tuple[str, str], ...]:
    words = {"read": "read", "socket": "socket", "data": "write", "device": "device"}
    own = [(mount.target, words[mount.access]) for mount in mounts]
    return (*own, ("/tmp", "write"), ("/dev/shm", "write"), ("/etc", "read"))  # noqa: S108 - the worker's own


def _limits(policy: Policy, wishes: WorkerWishes) -> Tuple[Tuple[str, int], ...]:
    return (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_NOFILE", policy.open_files),
        ("RLIMIT_FSIZE", policy.file_bytes),
        ("RLIMIT_STACK", policy.stack_bytes),
        ("RLIMIT_MEMLOCK", policy.locked_bytes),
        ("RLIMIT_NPROC", wishes.pids),
        # Not RLIMIT_AS: address space that is only reserved would count, and gRPC reserves hundreds of MiB.
        ("RLIMIT_DATA", wishes.memory_bytes),
    )


def _etc(user: str, uid: int) -> Tuple[Tuple[str, str], ...]:
    return (
        ("passwd", f"{user}:x:{uid}:{uid}:{user}:/tmp:/nonexistent\n"),
        ("group", f"{user}:x:{uid}:\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    )


def _program(interpreter: Interpreter, wishes: WorkerWishes) -> ProgramPlan:
    major, minor, _ = interpreter.version
    runtime = ("/runtime",)
    code = tuple(f"/plugin/{root}".rstrip("/") for root in wishes.code_roots)
    env = {
        "PATH": "/venv/bin",
        "HOME": "/tmp",  # noqa: S108 - the worker's own
        "TMPDIR": "/tmp",  # noqa: S108 - the worker's own
        "MOORAGE_DATA": "/data",
        "LANG": "C.UTF-8",
        "VIRTUAL_ENV": "/venv",
        # Another grpcio than the host's may not know what it is told here.
        **(GRPC_ENV if wishes.use_runtime else {}),
        **dict(wishes.env),
    }
    return ProgramPlan(
        entry=wishes.entry,
        env=tuple(env.items()),
        sys_path=(*interpreter.module_path, "/sdk", *(runtime if wishes.use_runtime else ())),
        site_packages=f"/venv/lib/python{major}.{minor}/site-packages",
        late_path=(*code, *(() if wishes.use_runtime else runtime)),
        work_folder="/tmp",  # noqa: S108 - the worker's own
    )


# -- as JSON -------------------------------------------------------------------------------------------------------


def as_json(plan: Any) -> bytes:
    """Any of the plans."""
    return json.dumps(asdict(plan), separators=(",", ":")).encode()


def zygote_plan_from(data: bytes) -> ZygotePlan:
    fields = plain(data)
    preload = PreloadPlan(**{name: frozen(value) for name, value in fields["preload"].items()})
    return ZygotePlan(**{**fields, "mounts": _mounts(fields["mounts"]), "preload": preload})


def preload_plan_from(data: bytes) -> PreloadPlan:
    return PreloadPlan(**plain(data))


def worker_plan_from(data: bytes) -> WorkerPlan:
    fields = plain(data)
    inner = {"program": program_from(fields["program"]), "filter": Variant(**fields["filter"])}
    mounts = {name: _mounts(fields[name]) for name in ("mounts", "openings")}
    root = fields["own_root"] and _own_root_from(fields["own_root"])
    return WorkerPlan(**{**fields, **inner, **mounts, "own_root": root})


def _own_root_from(fields: Dict[str, Any]) -> OwnRoot:
    return OwnRoot(_mounts(fields["mounts"]), frozen(fields["links"]), frozen(fields["folders"]))


def _mounts(values: List[Dict[str, Any]]) -> Tuple[Mount, ...]:
    return tuple(Mount(**{name: frozen(value) for name, value in fields.items()}) for fields in values)
