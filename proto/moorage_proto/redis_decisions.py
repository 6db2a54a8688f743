"""Decides on the commands of a call through a guard; the host's service and the testing kit's fake share it."""

from __future__ import annotations

from typing import Any, Iterator, List, Protocol, Sequence, Tuple

from moorage_proto.capability import Capability
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.redis_access import CommandRefused, Examined, examine, examine_subscription
from moorage_proto.redis_limits import MAX_ARGUMENTS, MAX_COMMANDS, Command
from moorage_proto.redis_table import CommandTable, KeysUnclear


class Guard(Protocol):
    def require(self, need: Capability) -> None: ...

    def require_any(self, backend: str) -> None: ...


def commands_of(wire: Sequence[Any]) -> List[Command]:
    """From RedisCommand messages. Raises CallError(REQUEST_INVALID)."""
    found = [tuple(command.arguments) for command in wire]
    if len(found) > MAX_COMMANDS or sum(map(len, found)) > MAX_ARGUMENTS:
        raise invalid(
            f"One call may have {MAX_COMMANDS:,} commands with {MAX_ARGUMENTS:,} arguments together; make several."
        )
    return found


def examined(table: CommandTable, command: Command, backend: str) -> Examined:
    """What is then to be asked of the guard, by ``decisions``. Raises CallError when the command is not offered."""
    try:
        return examine(table, command, backend)
    except CommandRefused as refusal:
        raise refused(str(refusal)) from None
    except KeysUnclear as problem:
        raise invalid(f"The command cannot be run: {problem}.") from None


def decisions(guard: Guard, command: Examined, backend: str) -> Iterator[None]:
    """One step for each thing that is decided: there may be thousands. Raises CallError when a right is missing."""
    if not command.needs:
        guard.require_any(backend)
        yield
    for need in command.needs:
        guard.require(need)
        yield


def decide(guard: Guard, table: CommandTable, command: Command, backend: str) -> Examined:
    """Raises CallError when the command is not offered, or a right is missing."""
    found = examined(table, command, backend)
    for _ in decisions(guard, found, backend):
        pass
    return found


def decide_subscription(guard: Guard, command: Command, backend: str) -> Tuple[Capability, ...]:
    """What a change of a subscription needs, all of it allowed. Raises CallError."""
    try:
        needs = examine_subscription(command, backend)
    except CommandRefused as refusal:
        raise refused(str(refusal)) from None
    for need in needs:
        guard.require(need)
    return needs


def refused(sentence: str) -> CallError:
    """No capability could lift it."""
    return CallError(Status.PERMISSION_DENIED, Reason.REQUEST_INVALID, sentence)


def invalid(sentence: str) -> CallError:
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
