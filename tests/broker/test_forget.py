"""What services have made for an installation elsewhere goes when it is removed."""

from __future__ import annotations

import logging

import pytest
from memory_link import RecordingAudit
from probe_service import ProbeService

from moorage.broker.broker import Broker


class Forgets(ProbeService):
    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__()
        self.forgotten: list[str] = []
        self._failure = failure

    async def forget(self, installation: str) -> None:
        if self._failure is not None:
            raise self._failure
        self.forgotten.append(installation)


async def test_one_that_fails_does_not_keep_the_others_from_it(caplog: pytest.LogCaptureFixture) -> None:
    away, there = Forgets(ConnectionError("the server is away")), Forgets()
    broker = Broker((away, ProbeService(), there), RecordingAudit())
    with caplog.at_level(logging.WARNING):
        await broker.forget("churn")
    assert there.forgotten == ["churn"]
    assert "Forgets has left something of it behind: the server is away" in caplog.text
