"""The API as the commands speak it: over the host's Unix socket, with problems as MoorageErrors."""

from __future__ import annotations

import difflib
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from moorage.cli.options import find_socket
from moorage.errors import ExitCode, MoorageError, NotFound

#: Establishing a connection takes no time on a Unix socket. Answers may take as long as the work they wait for.
TIMEOUT = httpx.Timeout(None, connect=5.0)


class NoHost(MoorageError):
    """Nobody answers on the socket."""

    code = "no_host"
    exit_code = ExitCode.UNAVAILABLE
    http_status = 503


class RemoteProblem(MoorageError):
    """What the host answered instead of doing what was asked."""

    def __init__(self, problem: Mapping[str, Any], hint: str = "") -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "The host gave no reason.") + hint)
        self.code = str(problem.get("code", "error"))
        self.http_status = int(problem.get("status", 500))
        try:
            self.exit_code = ExitCode(problem["exit_code"])
        except (KeyError, ValueError):  # a newer host may know further codes
            self.exit_code = ExitCode.FAILED


class ApiClient:
    """``with connect(config, socket) as api: api.get("/installations")``. Answers are decoded JSON."""

    def __init__(self, socket_path: Path) -> None:
        self._socket = socket_path
        transport = httpx.HTTPTransport(uds=str(socket_path))
        self._http = httpx.Client(transport=transport, base_url="http://host/api/v1", timeout=TIMEOUT)

    def __enter__(self) -> Self:
        self._check_host()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def get(self, path: str, *, about: str | None = None, **query: Any) -> Any:
        """``about`` is the installation's name that the request depends on; a wrong one gets a suggestion."""
        return self._ask("GET", path, about, params=_given(query))

    def post(self, path: str, body: Any = None, *, about: str | None = None) -> Any:
        return self._ask("POST", path, about, json={} if body is None else body)

    def delete(self, path: str, *, about: str | None = None, **query: Any) -> Any:
        return self._ask("DELETE", path, about, params=_given(query))

    def lines(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """The objects of a stream of JSON lines."""
        with self._open("POST", path, None, "application/x-ndjson", json=body) as answer:
            for line in answer.iter_lines():
                if line.strip():
                    yield json.loads(line)

    def events(self, path: str, *, about: str | None = None, **query: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and data of server-sent events. The host sends each event's data on one line."""
        with self._open("GET", path, about, "text/event-stream", params=_given(query)) as answer:
            name = "message"
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))

    def _check_host(self) -> None:
        """Before the first request, because httpcore 1.0 leaves a socket open that it could not connect."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError as error:
                raise self._no_host() from error

    def _no_host(self) -> NoHost:
        return NoHost(f"No host answers at {self._socket}; start one with: moorage serve")

    def _ask(self, method: str, path: str, about: str | None, **request: Any) -> Any:
        with self._reaching_the_host():
            answer = self._http.request(method, path, **request)
        self._check(answer, about)
        return answer.json()

    @contextmanager
    def _open(self, method: str, path: str, about: str | None, accept: str, **request: Any) -> Iterator[httpx.Response]:
        with (
            self._reaching_the_host(),
            self._http.stream(method, path, headers={"Accept": accept}, **request) as answer,
        ):
            if not answer.is_success:
                answer.read()
            self._check(answer, about)
            yield answer

    def _check(self, answer: httpx.Response, about: str | None) -> None:
        if answer.is_success:
            return
        try:
            problem = answer.json()
        except ValueError:
            problem = {"detail": f"What answers at {self._socket} is no Moorage host ({answer.status_code})."}
        hint = self._nearest(about) if answer.status_code == httpx.codes.NOT_FOUND and about else ""
        raise RemoteProblem(problem, hint)

    def _nearest(self, name: str) -> str:
        known = [installation["id"] for installation in self.get("/installations")["items"]]
        if name in known:
            return ""
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if close:
            return f" Did you mean {close[0]}?"
        return f" There {'are' if known else 'is'}: {', '.join(sorted(known)) or 'no installation at all'}."

    @contextmanager
    def _reaching_the_host(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise self._no_host() from error
        except httpx.TransportError as error:
            raise NoHost(f"The host at {self._socket} went away before it had answered.") from error


def connect(config: Path | None, socket_path: Path | None) -> ApiClient:
    return ApiClient(find_socket(config, socket_path))


def installation(name: str, *rest: str) -> str:
    """The path of an installation's route.

    Raises NotFound for what cannot be a name: it could lead to another route.
    """
    if "/" in name:
        raise NotFound(f"There is no installation {name}: names hold letters, digits, '-', '_' and '.'.")
    return "/".join(["/installations", quote(name, safe=""), *rest])


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in query.items() if value is not None}
