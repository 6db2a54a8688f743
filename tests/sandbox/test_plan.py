"""Plans: pure, complete, and the same after a journey as JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_sandbox import inner, landlock, plan
from moorage_sandbox.interpreter import Interpreter
from moorage_sandbox.libraries import Libraries, find_libraries
from moorage_sandbox.plan import Mount, WorkerPaths, WorkerWishes
from moorage_sandbox.policy import Policy

DEBIAN = Interpreter(
    "/usr/bin/python3.11", "/usr", (3, 11, 2), "/usr/lib/python3.11", "/usr/lib/python3.11/lib-dynload", None
)
OWN_PREFIX = Interpreter(
    "/opt/py/bin/python3.12",
    "/opt/py",
    (3, 12, 1),
    "/opt/py/lib/python3.12",
    "/opt/py/lib/python3.12/lib-dynload",
    "/opt/py/lib/libpython3.12.so.1.0",
)
IMAGE = replace(
    OWN_PREFIX,
    executable="/usr/local/bin/python3.12",
    prefix="/usr/local",
    stdlib="/usr/local/lib/python3.12",
    dynload="/usr/local/lib/python3.12/lib-dynload",
    library="/usr/local/lib/libpython3.12.so.1.0",
)
LIBRARIES = Libraries(("/usr/lib/x86_64-linux-gnu",), (("/lib", "usr/lib"),))
PATHS = WorkerPaths("/srv/venv", "/srv/code", "/srv/data", "/srv/socket")

absolute = st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1).map(
    lambda parts: "/" + "/".join(parts)
)
wishes = st.builds(
    WorkerWishes,
    paths=st.builds(WorkerPaths, absolute, absolute, absolute, absolute),
    uid=st.integers(1, 2**31),
    memory_bytes=st.integers(1, 2**40),
    pids=st.integers(1, 4096),
    start=st.sampled_from(["zygote", "fresh"]),
    use_runtime=st.booleans(),
    code_roots=st.lists(st.sampled_from(["", "src", "lib/python"])).map(tuple),
    env=st.lists(st.tuples(st.text(), st.text())).map(tuple),
)


def base(interpreter: Interpreter = DEBIAN, *, zones: bool = False, user_namespace: bool = False) -> plan.ZygotePlan:
    return plan.zygote_plan(
        interpreter, LIBRARIES, "/srv/sdk", "/srv/runtime", zones=zones, user_namespace=user_namespace
    )


def worker(wish: WorkerWishes, interpreter: Interpreter = DEBIAN) -> plan.WorkerPlan:
    return plan.worker_plan(base(interpreter), interpreter, Policy(), wish)


def wish(**changes) -> WorkerWishes:
    return replace(WorkerWishes(PATHS, uid=61_001, memory_bytes=2**28, pids=64), **changes)


@given(wishes)
def test_plans_travel_as_json(asked) -> None:
    made = worker(asked)
    assert plan.worker_plan_from(plan.as_json(made)) == made
    kept = inner.InnerPlan(made.files, made.program, made.filter)
    assert inner.inner_plan_from(plan.as_json(kept)) == kept


@pytest.mark.parametrize("interpreter", [DEBIAN, OWN_PREFIX, IMAGE])
def test_zygote_plans_travel_as_json(interpreter) -> None:
    made = base(interpreter, zones=True)
    assert plan.zygote_plan_from(plan.as_json(made)) == made
    assert plan.preload_plan_from(plan.as_json(made.preload)) == made.preload


@given(wishes)
def test_only_own_folders_are_mounted(asked) -> None:
    made = worker(asked)
    assert {mount.source for mount in made.mounts} == set(vars(asked.paths).values())
    assert [mount.target for mount in made.mounts if mount.access == "data"] == ["/data"]


@given(wishes)
def test_every_mount_may_be_opened_and_nothing_else(asked) -> None:
    made = worker(asked)
    mounted = {mount.target for mount in (*base().mounts, *made.mounts)}
    assert {path for path, _ in made.files} == mounted | {"/tmp", "/dev/shm", "/etc"}
    assert {path for path, access in made.files if access == "write"} == {"/data", "/tmp", "/dev/shm"}
    assert {access for _, access in made.files} <= set(landlock.ACCESS)


@given(wishes)
def test_own_pins_start_fresh_with_the_runtime_last(asked) -> None:
    program = worker(asked).program
    everything = (*program.sys_path, program.site_packages, *program.late_path)
    runtime, site_packages = everything.index("/runtime"), everything.index(program.site_packages)
    assert (runtime < site_packages) == asked.use_runtime
    assert asked.use_runtime or worker(asked).start == "fresh"
    assert everything.index("/sdk") < site_packages


def test_bounds_come_from_the_wishes() -> None:
    limits = dict(worker(wish(memory_bytes=123, pids=45)).limits)
    assert (limits["RLIMIT_DATA"], limits["RLIMIT_NPROC"], limits["RLIMIT_CORE"]) == (123, 45, 0)


def test_a_prefix_of_its_own_is_mounted_whole() -> None:
    mounts = base(OWN_PREFIX).mounts
    assert Mount("/opt/py", "/py", "read") in mounts
    assert base(OWN_PREFIX).executable == "/py/bin/python3.12"


def test_of_usr_only_python_is_mounted() -> None:
    sources = {mount.source for mount in base(DEBIAN).mounts}
    assert "/usr" not in sources
    assert Mount("/usr/lib/python3.11", "/py/lib/python3.11", "read") in base(DEBIAN).mounts
    assert Mount("/usr/bin/python3.11", "/py/bin/python3.11", "read") in base(DEBIAN).mounts


def test_of_usr_local_libpython_is_mounted_too() -> None:
    targets = {mount.target for mount in base(IMAGE).mounts}
    assert {"/py/bin/python3.12", "/py/lib/python3.12", "/py/lib/libpython3.12.so.1.0"} <= targets
    assert "/py" not in targets


def test_code_roots_are_on_the_path() -> None:
    assert worker(wish(code_roots=("", "src"))).program.late_path == ("/plugin", "/plugin/src")


@pytest.mark.parametrize(
    ("machine", "tree", "folders", "links"),
    [
        (
            "x86_64",
            {"/lib": "/usr/lib", "/lib64/ld-linux-x86-64.so.2": "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"},
            ("/usr/lib/x86_64-linux-gnu",),
            {"/lib": "usr/lib", "/lib64/ld-linux-x86-64.so.2": "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"},
        ),
        (
            "aarch64",
            {"/lib": "/usr/lib", "/lib/ld-linux-aarch64.so.1": "/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"},
            ("/usr/lib/aarch64-linux-gnu",),
            {"/lib": "usr/lib", "/lib/ld-linux-aarch64.so.1": "/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"},
        ),
    ],
)
def test_debian_libraries(machine, tree, folders, links) -> None:
    def real(path: str) -> str:
        if path in tree:
            return tree[path]
        return "/usr" + path if path.startswith("/lib/") else path

    found = find_libraries(machine, is_folder=lambda path: "linux-gnu" in path, real_path=real)
    assert found.folders == folders
    assert dict(found.links) == links


def test_fedora_libraries() -> None:
    tree = {
        "/lib": "/usr/lib",
        "/lib64": "/usr/lib64",
        "/lib64/ld-linux-x86-64.so.2": "/usr/lib64/ld-linux-x86-64.so.2",
    }
    found = find_libraries(
        "x86_64",
        is_folder=lambda path: path in ("/usr/lib64", "/lib64", "/usr/lib", "/lib"),
        real_path=lambda path: tree.get(path, path),
    )
    assert found.folders == ("/usr/lib64",)
    assert dict(found.links)["/lib64/ld-linux-x86-64.so.2"] == "/usr/lib64/ld-linux-x86-64.so.2"


@pytest.mark.parametrize(
    ("abi", "rights", "size"), [(1, 13, 8), (2, 14, 8), (3, 15, 8), (4, 15, 16), (5, 16, 16), (7, 16, 24), (9, 17, 24)]
)
def test_landlock_asks_for_what_the_kernel_knows(abi, rights, size) -> None:
    assert landlock.handled_rights(abi) == 2**rights - 1
    assert len(landlock.ruleset_attribute(abi)) == size


def test_landlock_covers_sockets_by_path_where_the_kernel_can() -> None:
    assert landlock.coverage(0) == {"fs": False, "tcp": False, "scopes": False, "unix": False}
    assert landlock.coverage(7) == {"fs": True, "tcp": True, "scopes": True, "unix": False}
    assert landlock.coverage(9) == {"fs": True, "tcp": True, "scopes": True, "unix": True}
    resolve_unix = 1 << 16
    assert {word for word, rights in landlock.ACCESS.items() if rights & resolve_unix} == {"socket"}


def test_landlock_lets_execute_what_was_granted_alone() -> None:
    execute, make_symbolic_link = 1, 1 << 12
    assert {word for word, rights in landlock.ACCESS.items() if rights & execute} == {"execute"}
    assert not any(rights & make_symbolic_link for rights in landlock.ACCESS.values())
