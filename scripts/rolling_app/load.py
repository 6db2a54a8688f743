"""Callers of a host that comes and goes: they submit executions, wait for some of them, and note every answer."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from moorage.cli.client import ApiClient, NoHost, RemoteProblem, installation

CALLERS = 6


class Load:
    """Threads; ``stop`` ends them."""

    def __init__(self, socket: Path, seed: int) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        #: Ids that the host has said to have accepted.
        self.accepted: set[str] = set()
        #: "accepted", "rejected: host_stopping", "execution_postponed", "no_host"...
        self.answers: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._call, args=(random.Random(seed + number),), name=f"caller {number}")
            for number in range(CALLERS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _call(self, chance: random.Random) -> None:
        while not self._stopping.is_set():
            wait = chance.random() < 0.4
            try:
                self._note(self._submit(chance, wait))
            except RemoteProblem as problem:
                self.answers[problem.code] += 1
            except NoHost:
                self.answers["no_host"] += 1
                time.sleep(0.05)

    def _submit(self, chance: random.Random, wait: bool) -> Any:
        entry = {"text": f"entry {next(self._numbers)}", "seconds": chance.uniform(0.0, 0.06)}
        with ApiClient(self._socket) as api:
            return api.post(installation("ledger", "executions"), {"input": entry, "wait": wait})

    def _note(self, execution: Any) -> None:
        if execution["state"] == "rejected":
            self.answers[f"rejected: {execution['error']['type']}"] += 1
            # As a caller that is told to try again later does.
            time.sleep(0.05)
            return
        self.answers["accepted"] += 1
        self.accepted.add(execution["id"])
