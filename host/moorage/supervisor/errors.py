"""What the supervisor cannot do, and why."""

from __future__ import annotations

from moorage.errors import Conflict, ExitCode, MoorageError
from moorage.models.incarnation import Verdict
from moorage_sandbox.report import MissingLayer, at_least

#: Lines of a traceback, or of the log, that a failed reload repeats.
LAST_WORDS = 12


class StartFailed(MoorageError):
    """The worker did not become ready."""

    code = "start_failed"
    exit_code = ExitCode.FAILED
    http_status = 502

    def __init__(self, installation: str, verdict: Verdict) -> None:
        more = f" Its last lines: moorage show {installation}" if verdict.lines or verdict.traceback else ""
        super().__init__(f"{installation} did not start. {verdict.sentence}{more}")
        self.verdict = verdict


class ReloadFailed(MoorageError):
    """The new version does not serve; what was there before is there again."""

    code = "reload_failed"
    exit_code = ExitCode.FAILED
    http_status = 502

    def __init__(
        self, installation: str, version: str, problem: str, then: str, verdict: Verdict | None = None
    ) -> None:
        super().__init__(f"{installation} was not reloaded to {version}. {problem} {then}{_last_words(verdict)}")
        self.verdict = verdict


def _last_words(verdict: Verdict | None) -> str:
    """What the plugin's author looks for first."""
    if verdict is None:
        return ""
    lines = verdict.traceback.rstrip().splitlines() or verdict.lines
    return "".join(f"\n    {line}" for line in lines[-LAST_WORDS:])


class ReloadUnderway(Conflict):
    code = "reload_underway"

    def __init__(self, installation: str) -> None:
        super().__init__(
            f"{installation} is being reloaded already. Wait until that is done; moorage why {installation}"
        )


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

    def __init__(self, missing: MissingLayer, required: str, *, reached: str = "", installation: str = "") -> None:
        """``reached``: the level that this machine has, where that is known and less than what is required."""
        super().__init__(
            f"No worker was started: the sandbox's layer {missing.layer!r} is missing. {missing.reason}"
            f" {missing.consequence} {missing.remedy}{_accepted(required, reached, installation)}"
        )
        self.missing = missing


class WorkerLost(SandboxFailed):
    """What was being made went away: somebody, or the kernel, ended its zygote or the process itself. Nothing of the
    plugin has run, and the next attempt may succeed."""

    code = "worker_lost"
    exit_code = ExitCode.FAILED

    def __init__(self, missing: MissingLayer, required: str, verdict: Verdict) -> None:
        super().__init__(missing, required)
        self.args = (f"No worker was started. {verdict.sentence}",)
        self.verdict = verdict


def _accepted(required: str, reached: str, installation: str) -> str:
    if not reached or at_least(reached, required):
        return ""
    key = f"installations.{installation}.sandbox" if installation else "sandbox.require"
    return f' Level {required!r} is required, and this machine has {reached!r}; to accept that: {key} = "{reached}".'
