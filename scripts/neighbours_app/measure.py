"""One flood: how the neighbour fares, what the host takes, what becomes of the flooder."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from floods import Flood
from stage import MIB, QUIET, Stage, Watch

from moorage.cli.client import RemoteProblem, installation

#: Until a flood is on.
RISE_SECONDS = 0.7
#: Of a quiet phase; a flooded one is as long as the caller says.
QUIET_SECONDS = 1.5
#: How long a flood may go on past its time before it is cancelled, and then until it has an outcome.
OVERTIME_SECONDS, CANCEL_SECONDS = 6.0, 20.0
#: Until the host has seen what a worker did, where it has to look.
WATCH_SECONDS = 10.0
#: Between two executions that a caller asks for.
ASK_SECONDS = 0.1
#: For the host to put away what a flood has left.
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Calls:
    """The neighbour's, of one phase; milliseconds."""

    count: int
    failures: tuple[str, ...]
    read: float
    select: float
    p99: float

    @classmethod
    def of(cls, found: dict[str, Any]) -> Calls:
        read, select = found["read"], found["select"]
        if not read or not select:
            return cls(found["calls"], tuple(found["failures"]), float("inf"), float("inf"), float("inf"))
        p99 = max(read["p99"], select["p99"])
        return cls(found["calls"], tuple(found["failures"]), read["median"], select["median"], p99)


@dataclass
class Measured:
    flood: Flood
    quiet: list[Calls] = field(default_factory=list)
    flooded: Calls | None = None
    #: MiB that the host took more than before: at most, and afterwards.
    peak_mib: float = 0.0
    after_mib: float = 0.0
    descriptors: int = 0
    threads: int = 0
    disk_mib: float = 0.0
    #: CPU seconds that the flooder had for each second.
    cores: float = 0.0
    #: "throttled" or a verdict's kind; what it got done, or the verdict's sentence.
    fate: str = ""
    words: str = ""
    ratio: float = 0.0
    #: What does not hold, in sentences.
    problems: list[str] = field(default_factory=list)


def measure(stage: Stage, watch: Watch, flood: Flood, seconds: float) -> Measured:
    found = Measured(flood)
    stage.make_room()
    with stage.api() as api:
        api.post(f"/installations/{flood.installation}/start")
    before, disk = watch.now(), stage.state_bytes()
    found.quiet.append(quiet_calls(stage, QUIET_SECONDS))
    watch.begin()
    flooding = Flooding(stage, flood, seconds + RISE_SECONDS)
    time.sleep(RISE_SECONDS)
    found.flooded = quiet_calls(stage, seconds)
    found.fate, found.words, found.cores = flooding.end()
    most = watch.most()
    time.sleep(SETTLE_SECONDS)
    found.quiet.append(quiet_calls(stage, QUIET_SECONDS))
    after = watch.now()
    found.peak_mib = (most.memory_bytes - before.memory_bytes) / MIB
    found.after_mib = (after.memory_bytes - before.memory_bytes) / MIB
    found.descriptors = most.descriptors - before.descriptors
    found.threads = most.threads - before.threads
    found.disk_mib = (stage.state_bytes() - disk) / MIB
    found.ratio = ratio_of(found.flooded, found.quiet)
    return found


def ratio_of(flooded: Calls, quiet: list[Calls]) -> float:
    """Of medians, the worse of the two calls'. Pure."""
    read = statistics.mean(each.read for each in quiet)
    select = statistics.mean(each.select for each in quiet)
    return max(flooded.read / read, flooded.select / select)


def quiet_calls(stage: Stage, seconds: float) -> Calls:
    with stage.api() as api:
        ran = api.post(installation(QUIET, "executions"), {"input": seconds, "wait": True})
    if ran["state"] != "succeeded":
        sentence = f"its execution {ran['state']}: {(ran['error'] or {}).get('message', '')}"
        return Calls(0, (sentence,), float("inf"), float("inf"), float("inf"))
    return Calls.of(ran["result"])


class Flooding:
    """A flood that is on."""

    def __init__(self, stage: Stage, flood: Flood, seconds: float) -> None:
        self._stage = stage
        self._flood = flood
        self._over = time.monotonic() + seconds
        with stage.api() as api:
            view = api.get(f"/installations/{flood.installation}", look=True)
            self._first = view["incarnations"][0]["number"]
            self._began = (time.monotonic(), _cpu_seconds(view))
        self._answers: list[dict[str, Any]] = []
        self._executions: list[str] = []
        self._refused = 0
        if flood.callers:
            self._callers = [threading.Thread(target=self._ask_again_and_again) for _ in range(flood.callers)]
            for caller in self._callers:
                caller.start()
        else:
            self._callers = []
            with stage.api() as api:
                order = {"task": flood.task, "input": seconds}
                self._executions.append(api.post(installation(flood.installation, "executions"), order)["id"])

    def end(self) -> tuple[str, str, float]:
        """Waits for its end, or brings it about; its fate, what is to be said of it, and the cores that it had."""
        cores = self._cores()
        for caller in self._callers:
            caller.join()
        with self._stage.api() as api:
            for execution in self._executions:
                self._answers.append(self._outcome(api, execution))
            ended = self._verdict(api, WATCH_SECONDS if self._flood.ends else 0.0)
            if not ended and self._flood.ends:
                fate = ("not ended", self._told(), cores)
            elif not ended and self._answers and not self._answers[-1]["finished"]:
                fate = ("not ended", "it went on after it was cancelled", cores)
            elif ended:
                fate = (ended["kind"], ended["sentence"], cores)
            else:
                fate = ("throttled", self._told(), cores)
            api.post(f"/installations/{self._flood.installation}/kill")
        return fate

    def _ask_again_and_again(self) -> None:
        text = "i" * self._flood.input_size
        order = {"task": self._flood.task, "input": text or 0.0, "wait": False}
        with self._stage.api() as api:
            while time.monotonic() < self._over:
                try:
                    asked = api.post(installation(self._flood.installation, "executions"), order)
                except RemoteProblem as problem:
                    self._answers.append({"state": "refused", "finished": True, "error": {"message": str(problem)}})
                else:
                    self._executions.append(asked["id"])
                # Nobody looks at the answers meanwhile: that would flood the host from the other side.
                time.sleep(ASK_SECONDS)

    def _outcome(self, api: Any, execution: str) -> dict[str, Any]:
        answer = _until_finished(api, execution, self._over + OVERTIME_SECONDS)
        if not answer["finished"]:
            api.post(f"/executions/{execution}/cancel")
            answer = _until_finished(api, execution, time.monotonic() + CANCEL_SECONDS)
            # Whether the worker survives that is known a little later.
            self._verdict(api, CANCEL_SECONDS)
        return answer

    def _verdict(self, api: Any, timeout_seconds: float) -> dict[str, Any] | None:
        """Of the worker that flooded; None when it lives on."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            workers = api.get(f"/installations/{self._flood.installation}")["incarnations"]
            verdicts: list[dict[str, Any]] = [
                worker["verdict"] for worker in workers if worker["number"] == self._first and worker["verdict"]
            ]
            if verdicts or time.monotonic() > deadline:
                return verdicts[0] if verdicts else None
            time.sleep(0.1)

    def _cores(self) -> float:
        began, used = self._began
        with self._stage.api() as api:
            view = api.get(f"/installations/{self._flood.installation}", look=True)
        return max(0.0, (_cpu_seconds(view) - used) / (time.monotonic() - began))

    def _told(self) -> str:
        if self._callers:
            states = [answer["state"] for answer in self._answers]
            counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
            errors = {answer["error"]["message"] for answer in self._answers if answer.get("error")}
            return "; ".join([f"executions: {counts}", *sorted(errors)[:1]])
        (answer,) = self._answers
        if answer["state"] != "succeeded":
            return f"{answer['state']}: {(answer['error'] or {}).get('message', '')}"
        return ", ".join(f"{value:,} {name}" for name, value in (answer["result"] or {}).items()) or "it ended"


def _cpu_seconds(view: dict[str, Any]) -> float:
    return float(view["usage"]["cpu_seconds"]) if view["usage"] else 0.0


def _until_finished(api: Any, execution: str, deadline: float) -> dict[str, Any]:
    while True:
        answer: dict[str, Any] = api.get(f"/executions/{execution}")
        if answer["finished"] or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)
