"""Errors as RFC 9457 problem details, with the sentences and the stable codes of MoorageErrors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moorage.errors import ExitCode, MoorageError
from moorage.web.schemas.problems import FieldProblem, Problem
from moorage.web.values import text

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

#: What every route may answer besides its own document, for the OpenAPI description.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem, in sentences.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        "model": Problem,
    }
}


def problem_of(error: MoorageError) -> Problem:
    return _problem(error.http_status, error.code, str(error), error.exit_code)


def unexpected() -> Problem:
    """Says nothing of the cause: that stands in the host's log, for its operator alone."""
    return _problem(500, "internal", "The host met an unexpected error; its log has the details.", ExitCode.INTERNAL)


def install(app: FastAPI) -> None:
    """Makes the application answer every error as a problem."""

    @app.exception_handler(MoorageError)
    async def moorage_error(_request: Request, error: MoorageError) -> Response:
        return _response(problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid_request(_request: Request, error: RequestValidationError) -> Response:
        return _response(_invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return _response(_http_problem(request, error), error.headers)

    app.add_middleware(UnexpectedErrors)


class UnexpectedErrors:
    """Logs an exception that nobody expected and answers a generic sentence.

    Not an exception handler: Starlette's handlers for Exception raise it once more, and servers then log it twice.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception:
            if started or scope["type"] != "http":
                raise
            log.exception("%s %s met an unexpected error", scope["method"], scope["path"])
            await _response(unexpected())(scope, receive, send)


def _problem(status: int, code: str, detail: str, exit_code: ExitCode, errors: Sequence[FieldProblem] = ()) -> Problem:
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=text(detail),
        code=code,
        exit_code=int(exit_code),
        errors=list(errors),
    )


def _response(problem: Problem, headers: Any = None) -> Response:
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def _invalid(errors: Sequence[Any]) -> Problem:
    fields = [
        FieldProblem(where=text(".".join(str(part) for part in error["loc"])), message=text(_message(error)))
        for error in errors
    ]
    sentences = "\n".join(f"{field.where}: {field.message}." for field in fields)
    return _problem(422, "request_invalid", f"The request is not valid.\n{sentences}", ExitCode.INVALID, fields)


def _message(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    cause = error.get("ctx", {}).get("error")
    return f"{message}: {cause}" if error["type"] == "json_invalid" and cause else message


def _http_problem(request: Request, error: HTTPException) -> Problem:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _problem(404, "no_such_route", f"There is nothing at {request.url.path}.", ExitCode.NOT_FOUND)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        sentence = f"{request.url.path} does not take {request.method}."
        return _problem(405, "method_not_allowed", sentence, ExitCode.USAGE)
    return _problem(error.status_code, "request_invalid", str(error.detail), ExitCode.FAILED)
