"""Outcomes that the orchestrator itself decides, with their sentences. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from moorage.errors import Conflict, MoorageError, NotFound
from moorage.models.execution import Execution, ExecutionError, ExecutionState, TaskOutcome
from moorage.models.installation import Installation, InstallationId
from moorage.store.errors import StoreFailed
from moorage.supervisor.errors import SandboxFailed, StartFailed

#: The error's type of an execution whose host was stopped while it ran.
HOST_STOPPED = "host_stopped"


def refusal(installation: Installation) -> TaskOutcome | None:
    """Why it takes no executions now; None: it takes them."""
    name, desired = installation.id, installation.desired
    if desired.switched_off:
        message = f"{name} takes no executions: everything is {desired.switched_off}."
        return _rejected("switched_off", message, "moorage switch on")
    if desired.quarantined:
        return _rejected("quarantined", f"{name} is in quarantine: {desired.quarantined}", f"moorage release {name}")
    if desired.held_reason:
        by = f" by {desired.held_by}" if desired.held_by else ""
        return _rejected("held", f"{name} is held{by}: {desired.held_reason}", f"moorage release {name}")
    if not desired.enabled:
        return _rejected("disabled", f"{name} is disabled and takes no executions.", f"moorage enable {name}")
    return None


def queue_full(installation: InstallationId, capacity: int) -> TaskOutcome:
    message = f"The queue of {installation} is full: {capacity} executions wait. Try again when some are done."
    return _rejected("queue_full", message)


def host_stopping() -> TaskOutcome:
    return _rejected("host_stopping", "The host is stopping and takes no executions. Try again when it is back.")


def no_lease() -> TaskOutcome:
    message = "This host has lost its place among the hosts of its store. Try again when it has it back."
    return _rejected("no_lease", message)


def skipped(open_one: str) -> TaskOutcome:
    """``open_one``: the execution because of which; empty: another host's."""
    which = open_one or "one in another host"
    message = f"It was skipped: {which} is still open, and of these one at a time is run (overlap = skip)."
    return _rejected("skipped", message)


def replaced(by: str) -> TaskOutcome:
    message = f"It was cancelled for {by}, which came after it and takes its place (overlap = replace)."
    return _ended(ExecutionState.CANCELLED, "replaced", message)


def cancelled(by: str) -> TaskOutcome:
    return _ended(ExecutionState.CANCELLED, "cancelled", f"It was cancelled by {by}." if by else "It was cancelled.")


def cancelled_by_stop() -> TaskOutcome:
    message = "The host stopped before it was done. Run it again when the host is back."
    return _ended(ExecutionState.CANCELLED, HOST_STOPPED, message)


def postponed() -> TaskOutcome:
    """No outcome: it stays queued, and the next host takes it up."""
    return TaskOutcome(ExecutionState.QUEUED)


def paused(installation: InstallationId, reason: str) -> TaskOutcome:
    """Of patient ones, which are told to come again."""
    return _rejected("paused", f"{installation} does not run at present: {reason}")


#: No outcome either: another host has it now, or will have it, and knows what becomes of it.
DISOWNED = TaskOutcome(ExecutionState.QUEUED)


def not_now(reason: str) -> TaskOutcome:
    """No outcome: its installation may not run, and it waits until it may."""
    return _ended(ExecutionState.QUEUED, "not_now", reason)


def installation_gone(installation: InstallationId) -> TaskOutcome:
    message = f"{installation} was removed while it waited. Install it again, then run it again."
    return _rejected("installation_unknown", message)


def timed_out(timeout: timedelta) -> TaskOutcome:
    seconds = f"{timeout.total_seconds():g}"
    message = f"It ran longer than its timeout of {seconds} s. Give it more with `timeout` in the manifest's limits."
    return _ended(ExecutionState.TIMED_OUT, "timed_out", message)


def no_worker(installation: InstallationId, patience: timedelta) -> TaskOutcome:
    message = (
        f"No worker of {installation} was ready within {patience.total_seconds():g} s. `moorage show {installation}` "
        "and `moorage logs` tell how its start goes."
    )
    return _ended(ExecutionState.FAILED, "no_worker", message)


def abandoned(*, known: bool = True) -> TaskOutcome:
    """``known`` False: a database could not be asked whether it has committed."""
    message = "The host died before it had an outcome. What it had committed by then stays. Run it again if need be."
    if not known:
        message = f"{message} Look before you do: a database could not be asked whether it has committed."
    return _ended(ExecutionState.ABANDONED, "host_died", message)


def unconfirmed() -> TaskOutcome:
    message = (
        "The store did not say in time that it had written it down, so that whoever asked for it was told that it had"
        " not. Run it again if need be."
    )
    return _rejected("unconfirmed", message)


#: What is said of one whose database has noted the commit of its work, and whose outcome was not recorded.
COMMITTED_BEFORE = "What it did was committed; its result was lost."


def committed() -> TaskOutcome:
    """Of one whose database has noted the commit of its work, and whose host could not record its outcome."""
    return TaskOutcome(ExecutionState.SUCCEEDED)


def not_storable(problem: str) -> TaskOutcome:
    return _ended(ExecutionState.FAILED, "result_not_storable", problem)


def impossible(state: ExecutionState) -> TaskOutcome:
    message = f"The worker's session ended with {state}, which is no outcome of a run. This is a bug in the host."
    return _ended(ExecutionState.FAILED, "internal", message)


def from_error(error: BaseException, *, running: bool) -> TaskOutcome:
    """Of what the supervisor or the store raised, before the task began or while it ran."""
    if isinstance(error, (Conflict, NotFound)) and not running:
        return _rejected(error.code, str(error))
    if isinstance(error, MoorageError):
        return _ended(ExecutionState.FAILED, error.code, str(error))
    message = f"The host failed to run it: {type(error).__name__}: {error}. The host's log has the details."
    return _ended(ExecutionState.FAILED, "internal", message)


def waits(error: BaseException, execution: Execution) -> bool:
    """Whether what was raised before its task began is no outcome of a patient one: its installation may not run at
    present, its worker does not start, or the store cannot note that it runs.
    """
    return execution.patient and isinstance(error, (Conflict, StartFailed, SandboxFailed, StoreFailed))


def after_interruption(interruption: TaskOutcome, worked: TaskOutcome | None) -> TaskOutcome:
    """What was committed before the interruption reached it has succeeded."""
    if worked is not None and worked.state is ExecutionState.SUCCEEDED:
        return worked
    return interruption


#: Of these the plugin's log has a line; a cancellation was somebody's wish, and a rejected one never was the plugin's.
_TOLD = frozenset({ExecutionState.FAILED, ExecutionState.TIMED_OUT, ExecutionState.CRASHED})


def in_log(execution: Execution) -> str:
    """The line for the plugin's log: "execute failed after 0.31 s: LookupError: no users"; empty: none."""
    if execution.state not in _TOLD:
        return ""
    took = f" after {execution.duration.total_seconds():.2f} s" if execution.duration is not None else ""
    error = execution.error
    if error is None:
        return f"{execution.task} {_words(execution)}{took}."
    # The host's own types are words for programs; a plugin's exceptions are what its author looks for.
    is_ours = error.type == error.type.lower()
    said = error.message if is_ours or error.type in error.message else f"{error.type}: {error.message}"
    return f"{execution.task} {_words(execution)}{took}: {said}"


def _words(execution: Execution) -> str:
    return execution.state.value.replace("_", " ")


def cleaned(outcome: TaskOutcome, clean: Callable[[str], str]) -> TaskOutcome:
    """With the texts of its error made harmless: a plugin may have written them."""
    error = outcome.error
    if error is None:
        return outcome
    plain = ExecutionError(clean(error.type), clean(error.message), clean(error.traceback), clean(error.remedy))
    return TaskOutcome(outcome.state, outcome.result, plain)


def _rejected(kind: str, message: str, remedy: str = "") -> TaskOutcome:
    return _ended(ExecutionState.REJECTED, kind, message, remedy)


def _ended(state: ExecutionState, kind: str, message: str, remedy: str = "") -> TaskOutcome:
    return TaskOutcome(state, error=ExecutionError(kind, message, remedy=remedy))
