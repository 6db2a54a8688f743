"""Executions: run a task, look at runs, cancel one, try one again."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status
from pydantic import AwareDatetime

from moorage.models.execution import ExecutionState
from moorage.web.person import Person
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Page
from moorage.web.schemas.executions import Execution, ExecutionPage, RunOrder
from moorage.web.schemas.selection import SelectedOrder, SelectedRuns

router = APIRouter(tags=["executions"])


@router.post(
    "/installations/{name}/executions",
    response_model=Execution,
    responses={202: {"model": Execution, "description": "Accepted; there is no outcome yet."}},
)
async def run(
    request: Request, response: Response, host: Host, person: Person, name: str, order: RunOrder | None = None
) -> Execution:
    """Run a task; answers at once, or, with `wait`, when there is an outcome."""
    order = order or RunOrder()
    asked = replace(order.request(name), by=person)
    execution = Execution.of(await (host.run(asked) if order.wait else host.submit(asked)))
    response.headers["Location"] = str(request.url_for("get_execution", execution_id=execution.id))
    if not execution.finished:
        response.status_code = status.HTTP_202_ACCEPTED
    return execution


@router.post("/executions")
async def run_selected(response: Response, host: Host, person: Person, order: SelectedOrder) -> SelectedRuns:
    """Run a task on all installations that fit; answers at once, or, with `wait`, when each has its outcome."""
    if order.dry_run:
        return SelectedRuns.dry(order.select, await host.select(order.select), len(await host.installations()))
    asked = replace(order.request(""), by=person)
    runs = SelectedRuns.of(order.select, await (host.run_all if order.wait else host.submit_all)(order.select, asked))
    if not all(execution.finished for execution in runs.executions):
        response.status_code = status.HTTP_202_ACCEPTED
    return runs


@router.get("/executions")
async def list_executions(
    host: Host,
    installation: Annotated[str | None, Query(description="Only of this installation.")] = None,
    state: Annotated[ExecutionState | None, Query(description="Only in this state.")] = None,
    trigger: Annotated[str | None, Query(description="Only those that the trigger of this id has started.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only from this time on, with its zone.")] = None,
    before: Annotated[str, Query(description="Only those with a lesser id: the last one of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Page[Execution]:
    """Executions, newest first, without their inputs, results and tracebacks."""
    if installation is not None:
        await host.installation(installation)
    found = await host.executions(
        installation=installation, state=state, trigger=trigger, since=since, before=before, limit=limit
    )
    return Page(items=[Execution.of(run) for run in found])


@router.get("/executions/{execution_id}")
async def get_execution(host: Host, execution_id: str) -> ExecutionPage:
    """One execution with its input, result or error, its attempts, and where its lines are in the log."""
    execution = await host.execution(execution_id)
    return ExecutionPage.whole(execution, await host.execution_history(execution_id))


@router.post("/executions/{execution_id}/retry", status_code=status.HTTP_202_ACCEPTED)
async def retry(host: Host, person: Person, execution_id: str) -> Execution:
    """Run what an ended one did again, as another execution."""
    return Execution.of(await host.retry(execution_id, by=person))


@router.post("/executions/{execution_id}/cancel")
async def cancel(host: Host, person: Person, execution_id: str) -> Execution:
    """Cancel it; cancelling one that has an outcome changes nothing."""
    return Execution.of(await host.cancel(execution_id, by=person))
