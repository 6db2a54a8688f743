"""The host itself and its sandbox."""

from __future__ import annotations

from dataclasses import asdict
from typing import Self

from pydantic import Field

from moorage.web.schemas.base import Document
from moorage_sandbox import report as models


class MissingLayer(Document):
    """A layer of the sandbox that could not be had."""

    layer: str
    errno: int
    reason: str
    consequence: str
    remedy: str

    @classmethod
    def of(cls, missing: models.MissingLayer) -> Self:
        return cls(
            layer=missing.layer,
            errno=missing.errno,
            reason=missing.reason,
            consequence=missing.consequence,
            remedy=missing.remedy,
        )


class Landlock(Document):
    """0 as ABI: the kernel has none."""

    abi: int
    fs: bool
    tcp: bool
    scopes: bool
    unix: bool


class Seccomp(Document):
    """The filter's machine and SHA-256; both empty without one."""

    arch: str
    filter_hash: str
    named: bool


class Cgroup(Document):
    """v1, v2 or none, and what it bounds."""

    version: str
    memory: bool
    pids: bool
    cpu: bool


class Sandbox(Document):
    """What the kernel really enforces for workers of this host."""

    level: str = Field(description="full, full-bwrap, restricted or none.")
    layers: dict[str, str]
    missing: list[MissingLayer]
    landlock: Landlock
    seccomp: Seccomp
    uid: int | None = Field(description="Of a worker, as the host knows it; none: no worker could be made.")
    capabilities: int = Field(description="Bits of all sets together; 0 but for an ordinary user's bounding set.")
    no_new_privileges: bool
    proc: str = Field(description="What a worker has as /proc: none, own or host.")
    rlimits: dict[str, int | None] = Field(description="Hard limits; none: no bound.")
    cgroup: Cgroup
    kill: str = Field(description="How its whole tree is killed: pid namespace, cgroup.kill, process or process group.")
    memory: str = Field(description="What bounds its memory: cgroup, rlimit_data, watchdog, or nothing.")
    data: str = Field(description="What bounds the space of its data folder: watchdog, or nothing.")

    @classmethod
    def of(cls, report: models.SandboxReport) -> Self:
        return cls(
            level=report.level,
            layers=dict(report.layers),
            missing=[MissingLayer.of(layer) for layer in report.missing],
            landlock=Landlock(**asdict(report.landlock)),
            seccomp=Seccomp(**asdict(report.seccomp)),
            uid=report.uid,
            capabilities=report.capabilities,
            no_new_privileges=report.no_new_privileges,
            proc=report.proc,
            rlimits=dict(report.rlimits),
            cgroup=Cgroup(**asdict(report.cgroup)),
            kill=report.kill,
            memory=report.memory,
            data=report.data,
        )


class System(Document):
    version: str
    python: str
    pid: int
    state_dir: str
    required_level: str = Field(description="Lowest sandbox level at which a plugin may start.")
    sandbox: Sandbox
