"""What an operator does about a verdict: one sentence for each kind, with commands that can be copied. Pure."""

from __future__ import annotations

from moorage.models.incarnation import VerdictKind

_REMEDIES = {
    VerdictKind.PLANNED_STOP: "Nothing is wrong. Start it when you want it: moorage start {name}",
    VerdictKind.KILLED_BY_OPERATOR: "Nothing is wrong: a person ended it. Start it: moorage start {name}",
    VerdictKind.EXITED: "Its last words tell why: moorage show {name}, moorage logs {name}. A plugin must not end its"
    " own process.",
    VerdictKind.SIGNALLED: "Where a stack is shown, its newest frame names the code; upgrade or pin the library whose"
    " native code it is. moorage show {name}",
    VerdictKind.FORBIDDEN_SYSTEM_CALL: "Treat the plugin as hostile until you know why it made that call; it is in"
    " quarantine. Its author can run it under `moorage dev`, where the call fails and is named. moorage release {name}",
    VerdictKind.DISK_FULL: "Look at it: moorage storage {name}. Make room in data/{name} of the state folder, or grant"
    " more (storage.use); `data` and `data_files` in the limits of its manifest may bound it too.",
    VerdictKind.OUT_OF_MEMORY: "Give it more with `memory` in the limits of its manifest, or fewer executions at a time"
    " with `concurrency`; if it grows without end, it leaks.",
    VerdictKind.START_DEADLINE: "Move slow work out of imports and on_load, or give it more time with `start_timeout`"
    " in the limits of its manifest.",
    VerdictKind.LOAD_FAILED: "The traceback names the line of the plugin; correct it, then: moorage reload {name}",
    VerdictKind.SANDBOX_FAILED: "This is the machine's, not the plugin's. What is missing: moorage doctor",
    VerdictKind.PROTOCOL_VIOLATION: "It sent what no SDK sends. Check where the plugin comes from; one that brings an"
    " SDK of its own needs another. moorage audit {name}",
    VerdictKind.LINK_LOST: "Its link ended although the worker lived: the plugin, or a library, closed descriptors that"
    " are not its own. moorage logs {name}",
    VerdictKind.TAINTED: "A task must end when it is cancelled: check ctx.cancelled, and give blocking calls timeouts."
    " The next start is clean.",
    VerdictKind.SILENT: "The stack names the line that it stood at. Blocking work belongs into a sync task, or into a"
    " thread; `supervision.silence_limit` says how long it may take. moorage show {name}",
    VerdictKind.UNHEALTHY: "Its own health hook says what it lacks. moorage logs {name}",
    VerdictKind.ZYGOTE_LOST: "Nothing of the plugin's: it is started again, from a new zygote. If it happens again and"
    " again, look at the machine's memory, and at the kernel's log.",
    VerdictKind.HOST_DIED: "Nothing of the plugin's: its host ended without stopping it. It starts again when it is"
    " needed.",
}


def remedy_of(kind: VerdictKind, installation: str) -> str:
    """What to do next, of one installation's worker."""
    return _REMEDIES[kind].format(name=installation)
