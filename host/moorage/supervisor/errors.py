"""What the supervisor cannot do, and why."""

from __future__ import annotations

from moorage.errors import Conflict, ExitCode, MoorageError
from moorage.models.incarnation import Verdict
from moorage_sandbox.report import MissingLayer


class StartFailed(MoorageError):
    """The worker did not become ready."""

    code = "start_failed"
    exit_code = ExitCode.FAILED
    http_status = 502

    def __init__(self, installation: str, verdict: Verdict) -> None:
        more = f" Its last lines: moorage show {installation}" if verdict.lines or verdict.traceback else ""
        super().__init__(f"{installation} did not start. {verdict.sentence}{more}")
        self.verdict = verdict


class WorkerMissing(Conflict):
    code = "worker_missing"

    def __init__(self, installation: str) -> None:
        super().__init__(f"{installation} has no ready worker. Start it: moorage start {installation}")


class NotRunnable(Conflict):
    """The installation's desired state, or its grants, do not let it start."""

    code = "not_runnable"

    def __init__(self, installation: str, reason: str) -> None:
        super().__init__(f"{installation} does not run: {reason}")


class SandboxFailed(MoorageError):
    """The sandbox could not be made as strong as required; nothing of the plugin has run."""

    code = "sandbox_failed"
    exit_code = ExitCode.SANDBOX
    http_status = 503

    def __init__(self, missing: MissingLayer, required: str) -> None:
        lower = (
            f" Level {required!r} would do, but workers are only made at level 'full'." if required != "full" else ""
        )
        super().__init__(
            f"No worker was started: the sandbox's layer {missing.layer!r} is missing. {missing.reason}"
            f" {missing.consequence} {missing.remedy}{lower}"
        )
        self.missing = missing
