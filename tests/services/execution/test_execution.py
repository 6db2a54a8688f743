from __future__ import annotations

import pytest

from moorage.broker.scope import Scope, ScopeKind
from moorage.broker.services.base import Caller
from moorage.broker.services.execution import ExecutionService
from moorage_proto import execution_pb2
from moorage_proto.errors import CallError, Reason

Reports = list[tuple[str, float, str]]


@pytest.fixture
def reports() -> Reports:
    return []


@pytest.fixture
def service(reports: Reports) -> ExecutionService:
    return ExecutionService(lambda *report: reports.append(report))


def report(fraction: float, message: str = "") -> execution_pb2.ReportProgressRequest:
    return execution_pb2.ReportProgressRequest(fraction=fraction, message=message)


def test_progress_belongs_to_the_callers_execution(service, reports, caller) -> None:
    service.report_progress(caller, report(0.5, "half way"))
    assert reports == [("e-1", 0.5, "half way")]


@pytest.mark.parametrize(("told", "kept"), [(-1.0, 0.0), (7.0, 1.0), (float("inf"), 1.0), (float("-inf"), 0.0)])
def test_a_fraction_is_kept_between_0_and_1(service, reports, caller, told, kept) -> None:
    service.report_progress(caller, report(told))
    assert reports[0][1] == kept


def test_what_is_no_number_is_refused(service, reports, caller) -> None:
    with pytest.raises(CallError, match="not a number"):
        service.report_progress(caller, report(float("nan")))
    assert reports == []


def test_outside_an_execution_there_is_no_progress(service, reports) -> None:
    scope = Scope("i-1", ScopeKind.INCARNATION, "churn", "i-1")
    with pytest.raises(CallError, match="while a task runs") as refused:
        service.report_progress(Caller("churn", "i-1", scope, None, None, ""), report(0.5))
    assert refused.value.reason == Reason.REQUEST_INVALID
    assert reports == []


def test_a_long_message_is_cut(service, reports, caller) -> None:
    service.report_progress(caller, report(0.1, "x" * 10_000))
    assert len(reports[0][2]) == 500
