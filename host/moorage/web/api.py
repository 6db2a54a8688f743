"""The REST API as an ASGI application."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.routing import APIRoute

from moorage import __version__
from moorage.web import problems
from moorage.web.operations import Operations
from moorage.web.routes import (
    audit,
    config,
    executions,
    extensions,
    grants,
    installations,
    levels,
    logs,
    policies,
    reload,
    retention,
    secrets,
    sql,
    storage,
    switch,
    system,
    triggers,
    webhooks,
    why,
)

PREFIX = "/api/v1"


def create_api(operations: Operations) -> FastAPI:
    """The API of one host, to be served by ``ApiServer`` or mounted into another ASGI application.

    It has no lifespan: the host starts and ends elsewhere. Who calls is told by ``request.state.person``.
    """
    app = FastAPI(
        title="Moorage",
        version=__version__,
        description="What people and programs can ask of a Moorage host.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    app.state.operations = operations
    problems.install(app)
    for noun in (
        installations,
        grants,
        reload,
        why,
        config,
        secrets,
        storage,
        sql,
        extensions,
        executions,
        triggers,
        policies,
        logs,
        levels,
        audit,
        retention,
        switch,
        webhooks,
        system,
    ):
        app.include_router(noun.router, prefix=PREFIX, responses=problems.RESPONSES)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
