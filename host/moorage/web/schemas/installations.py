"""Installations, their grants, tasks and incarnations."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import Field, JsonValue

from moorage.models import installation as installation_models
from moorage.models import manifest as manifest_models
from moorage.models import views
from moorage.models.event import HandlerView
from moorage.models.incarnation import IncarnationState, IncarnationStatus, VerdictKind
from moorage.models.incarnation import Verdict as VerdictModel
from moorage.models.remedies import remedy_of
from moorage.models.usage import Usage as UsageModel
from moorage.web.schemas.base import Document, Input, Order, Reason
from moorage.web.schemas.extensions import Implementation
from moorage.web.schemas.grants import Denial, Grant
from moorage.web.schemas.levels import Level
from moorage.web.schemas.problems import Problem
from moorage.web.values import text, to_json


class Verdict(Document):
    """Why a worker ended."""

    kind: VerdictKind
    sentence: str
    planned: bool
    exit_code: int | None = None
    signal: str = ""
    traceback: str = ""
    stack: str = Field(default="", description="What all its threads did at the end, where that could be learnt.")
    lines: list[str] = Field(default=[], description="The last lines that it wrote, oldest first.")
    remedy: str = Field(default="", description="What to do about it, with the command.")

    @classmethod
    def of(cls, verdict: VerdictModel, installation: str) -> Self:
        return cls(
            kind=verdict.kind,
            sentence=verdict.sentence,
            planned=verdict.planned,
            exit_code=verdict.exit_code,
            signal=verdict.signal,
            traceback=verdict.traceback,
            stack=verdict.stack,
            lines=list(verdict.lines),
            remedy=remedy_of(verdict.kind, installation),
        )


class Incarnation(Document):
    """One start of a worker."""

    id: str
    number: int
    state: IncarnationState
    pid: int
    start: str = Field(description="How it was started: zygote or fresh.")
    sandbox_level: str
    started_at: datetime
    ready_at: datetime | None = None
    stopped_at: datetime | None = None
    verdict: Verdict | None = None
    python: str = ""
    protobuf: str = ""
    grpcio: str = ""

    @classmethod
    def of(cls, status: IncarnationStatus) -> Self:
        return cls(
            id=status.id,
            number=status.number,
            state=status.state,
            pid=status.pid,
            start=status.start,
            sandbox_level=status.sandbox_level,
            started_at=status.started_at,
            ready_at=status.ready_at,
            stopped_at=status.stopped_at,
            verdict=None if status.verdict is None else Verdict.of(status.verdict, status.installation),
            python=status.python,
            protobuf=status.protobuf,
            grpcio=status.grpcio,
        )


class Task(Document):
    name: str
    summary: str
    input_schema: JsonValue = Field(description="JSON Schema of the input.")
    result_schema: JsonValue = Field(description="JSON Schema of the result.")

    @classmethod
    def of(cls, task: views.TaskView) -> Self:
        return cls(
            name=task.name,
            summary=task.summary,
            input_schema=to_json(task.input_schema),
            result_schema=to_json(task.result_schema),
        )


class Handler(Document):
    """A function of it that is called with events."""

    name: str
    topic: str = Field(description="With globs: `track.*`.")
    replies: bool = Field(description="Whether it replies to requests, rather than taking events.")

    @classmethod
    def of(cls, handler: HandlerView) -> Self:
        return cls(name=text(handler.name), topic=text(handler.topic), replies=handler.replies)


class Author(Document):
    name: str
    email: str = ""


class Trigger(Document):
    """What the plugin declares as starting its executions."""

    kind: str
    source: str
    task: str
    options: JsonValue = {}


class Limits(Document):
    memory_bytes: int
    data_bytes: int | None = Field(description="In place of what it was granted, where that is more.")
    data_files: int
    timeout_seconds: float
    pids: int
    start_timeout_seconds: float
    drain_timeout_seconds: float
    concurrency: int
    cpus: float | None
    calls_per_second: float
    calls_in_flight: int
    bytes_per_second: int

    @classmethod
    def of(cls, limits: manifest_models.Limits) -> Self:
        return cls(
            memory_bytes=limits.memory_bytes,
            data_bytes=limits.data_bytes,
            data_files=limits.data_files,
            timeout_seconds=limits.timeout.total_seconds(),
            pids=limits.pids,
            start_timeout_seconds=limits.start_timeout.total_seconds(),
            drain_timeout_seconds=limits.drain_timeout.total_seconds(),
            concurrency=limits.concurrency,
            cpus=limits.cpus,
            calls_per_second=limits.calls_per_second,
            calls_in_flight=limits.calls_in_flight,
            bytes_per_second=limits.bytes_per_second,
        )


class Plugin(Document):
    """What the plugin's manifest says of itself: another party's words."""

    name: str
    version: str
    description: str
    authors: list[Author]
    license: str
    urls: dict[str, str]
    tags: list[str]
    entry_point: str
    requires_python: str
    dependencies: list[str]
    triggers: list[Trigger]
    limits: Limits
    config_schema: JsonValue
    private_data: bool

    @classmethod
    def of(cls, manifest: manifest_models.Manifest) -> Self:
        return cls(
            name=manifest.name,
            version=manifest.version,
            description=manifest.description,
            authors=[Author(name=author.name, email=author.email) for author in manifest.authors],
            license=manifest.license,
            urls=dict(manifest.urls),
            tags=sorted(manifest.tags),
            entry_point=manifest.entry_point,
            requires_python=manifest.requires_python,
            dependencies=list(manifest.dependencies),
            triggers=[
                Trigger(kind=entry.kind, source=entry.source, task=entry.task, options=to_json(entry.options))
                for entry in manifest.triggers
            ],
            limits=Limits.of(manifest.limits),
            config_schema=to_json(manifest.config_schema),
            private_data=manifest.private_data,
        )


class Desired(Document):
    """What people want of the installation."""

    enabled: bool
    held_reason: str
    held_by: str
    replicas: int
    quarantined: str
    switched_off: str = Field(default="", description="How everything was switched off; empty: it is on.")

    @classmethod
    def of(cls, desired: installation_models.DesiredState) -> Self:
        return cls(
            enabled=desired.enabled,
            held_reason=desired.held_reason,
            held_by=desired.held_by,
            replicas=desired.replicas,
            quarantined=desired.quarantined,
            switched_off=text(desired.switched_off),
        )


class Usage(Document):
    """What all its workers use together. Rates are since the last look."""

    cpu_percent: float = Field(description="100 is one core.")
    cpu_seconds: float
    memory_bytes: int = Field(description="Proportional where the host may read that.")
    peak_memory_bytes: int
    processes: int
    descriptors: int | None = Field(description="Absent where the host may not read it, as the two below.")
    read_bytes: int | None
    written_bytes: int | None
    calls_per_second: float = Field(description="Through the gate.")
    denied_per_second: float

    @classmethod
    def of(cls, usage: UsageModel) -> Self:
        return cls(
            cpu_percent=usage.cpu_percent,
            cpu_seconds=usage.cpu_seconds,
            memory_bytes=usage.memory_bytes,
            peak_memory_bytes=usage.peak_memory_bytes,
            processes=usage.processes,
            descriptors=usage.descriptors,
            read_bytes=usage.read_bytes,
            written_bytes=usage.written_bytes,
            calls_per_second=usage.calls_per_second,
            denied_per_second=usage.denied_per_second,
        )


class Installation(Document):
    """A plugin version put to use under a name."""

    id: str
    state: str = Field(description="One word for people.", examples=["ready"])
    reason: str = Field(description="Why it is in that state, with the next step; empty where that is obvious.")
    plugin: Plugin
    desired: Desired
    config: JsonValue = Field(description="The operator's settings for it.")
    grants: list[Grant]
    denials: list[Denial] = []
    dangers: list[str] = Field(default=[], description="What is dangerous in what it may do, as sentences.")
    single_fences: list[str] = Field(
        default=[],
        description="Databases that it has some right to, and in which the host's own check alone keeps it to that.",
    )
    tasks: list[Task] = Field(description="Known once a worker has loaded this version, also while none runs.")
    handlers: list[Handler] = Field(default=[], description="As the tasks.")
    hooks: list[str] = Field(default=[], description="Of its life, such as `on_load`; as the tasks.")
    incarnations: list[Incarnation] = Field(description="Newest first.")
    calls: int = Field(description="Calls through the gate by the present incarnation.")
    denied: int = Field(description="Those of them that were denied.")
    log_levels: list[Level] = Field(default=[], description="What was set of its loggers; others: INFO.")
    extensions: list[Implementation] = Field(default=[], description="What it implements of extension points.")
    usage: Usage | None = Field(default=None, description="Absent while it has no worker, or nobody has looked yet.")
    unenforced: str = Field(default="", description="A bound that it asks for and that has no effect here, and why.")
    loaded_at: datetime | None
    installed_at: datetime | None
    source_path: str
    code_hash: str
    venv_key: str

    @classmethod
    def of(cls, view: views.InstallationView) -> Self:
        installed = view.installation
        return cls(
            id=installed.id,
            state=view.state,
            reason=view.reason,
            plugin=Plugin.of(installed.manifest),
            desired=Desired.of(installed.desired),
            config=to_json(installed.config),
            grants=[Grant.of(grant) for grant in view.grants],
            denials=[Denial.of(denial) for denial in view.denials],
            dangers=list(view.dangers),
            single_fences=list(view.single_fences),
            tasks=[Task.of(task) for task in view.tasks],
            handlers=[Handler.of(each) for each in view.contributions.handlers] if view.contributions else [],
            hooks=list(view.contributions.hooks) if view.contributions else [],
            incarnations=[Incarnation.of(status) for status in view.incarnations],
            calls=view.calls,
            denied=view.denied,
            log_levels=[Level.of(setting) for setting in view.log_levels],
            extensions=[Implementation.of(each) for each in view.extensions],
            usage=None if view.usage is None else Usage.of(view.usage),
            unenforced=text(view.unenforced),
            loaded_at=view.loaded_at,
            installed_at=installed.installed_at,
            source_path=text(str(installed.source_path)),
            code_hash=installed.code_hash,
            venv_key=installed.venv_key,
        )


class BrokenPlugin(Document):
    """A folder that was scanned and could not be used."""

    path: str
    problem: str

    @classmethod
    def of(cls, broken: views.BrokenPlugin) -> Self:
        return cls(path=text(str(broken.path)), problem=text(broken.problem))


class StopReport(Document):
    """What a stop or kill did."""

    installation: str
    executions: list[str] = Field(description="Executions that were cancelled or lost.")
    processes: int = Field(description="Processes that are gone.")
    sentence: str

    @classmethod
    def of(cls, report: views.StopReport) -> Self:
        return cls(
            installation=report.installation,
            executions=list(report.executions),
            processes=report.processes,
            sentence=report.sentence,
        )


class InstallOrder(Order):
    path: str = Field(description="Absolute path of the plugin project's folder, on the host's machine.")
    name: str | None = Field(default=None, description="Name of the installation; by default the plugin's own.")
    config: dict[str, Input] | None = Field(default=None, description="Settings, checked against the plugin's schema.")
    grant: list[str] = Field(default=[], description="Capabilities to grant.")
    grant_required: bool = Field(default=False, description="Grant all that the plugin requires.")


class InstallEvent(Document):
    """One line of an installation's progress: `progress` with a sentence, at the end `installed` or `problem`."""

    event: Literal["progress", "installed", "problem"]
    sentence: str = ""
    installation: Installation | None = None
    problem: Problem | None = None


class StopOrder(Order):
    hold: Reason = Field(default="", description="Why it must stay stopped until it is released; empty: it may start.")


class ReasonOrder(Order):
    reason: Reason = Field(default="", description="For the audit, and for whoever asks why.")


class ScaleOrder(Order):
    replicas: int = Field(description="Workers at a time.", examples=[2])
