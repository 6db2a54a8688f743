from __future__ import annotations

import logging

import pytest

from moorage.broker.services.kafka import sparing
from moorage.broker.services.kafka.sparing import SparingLog


def test_the_same_is_said_once_in_a_while(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(sparing.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
    log = SparingLog(logging.getLogger("cluster"))
    for number in range(20):
        log.log(logging.WARNING, "%s [%s] %s", "FAIL", "moorage/churn", f"refused (after {number}ms)")
    log.log(logging.WARNING, "%s [%s] %s", "FAIL", "moorage/churn", "no certificate")
    now += sparing.REPEAT_SECONDS
    log.log(logging.WARNING, "%s [%s] %s", "FAIL", "moorage/churn", "refused (after 7ms)")
    assert [record.getMessage() for record in caplog.records] == [
        "FAIL [moorage/churn] refused (after 0ms)",
        "FAIL [moorage/churn] no certificate",
        "FAIL [moorage/churn] refused (after 7ms) (and 19 times more)",
    ]


def test_what_is_remembered_has_an_end(caplog: pytest.LogCaptureFixture) -> None:
    log = SparingLog(logging.getLogger("cluster"))
    for number in range(1000):
        log.log(logging.ERROR, "x" * number)
    assert len(log._said) <= 100
    assert len(caplog.records) == 1000
