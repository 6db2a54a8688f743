"""The API as the commands speak it: over the host's Unix socket, with problems as MoorageErrors.

With the standard library's HTTP client: importing httpx takes 0.2 s, a third of what `moorage ls` takes altogether.
"""

from __future__ import annotations

import difflib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

from moorage.cli.options import find_socket
from moorage.cli.output import note
from moorage.errors import ExitCode, MoorageError, NotFound

PREFIX = "/api/v1"

#: After which whoever waits is told that nothing has come.
PATIENCE_SECONDS = 10.0

_CHUNK_BYTES = 65_536

#: Ends of the paths where waiting is what was asked for.
WAITING = ("/executions",)


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


class _UnixConnection(HTTPConnection):
    """Without a timeout: an answer may take as long as the work that it waits for."""

    def __init__(self, path: Path) -> None:
        super().__init__("host")
        self._path = path

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._path))
        except PermissionError as error:
            connection.close()
            raise NoHost(f"{self._path} is not yours to use: run this as the host's own user, or as root.") from error
        except OSError as error:
            connection.close()
            raise NoHost(f"No host answers at {self._path}; start one with: moorage serve") from error
        self.sock = connection


class ApiClient:
    """``with connect(config, socket) as api: api.get("/installations")``. Answers are decoded JSON."""

    def __init__(self, socket_path: Path) -> None:
        self._socket = socket_path
        self._connection = _UnixConnection(socket_path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._connection.close()

    def get(self, path: str, *, about: str | None = None, **query: Any) -> Any:
        """``about`` is the name, of an installation or a trigger, that the request depends on; a wrong one gets a
        suggestion."""
        return self._ask("GET", _with_query(path, query), about)

    def post(self, path: str, body: Any = None, *, about: str | None = None) -> Any:
        return self._ask("POST", path, about, {} if body is None else body)

    def patch(self, path: str, body: Any, *, about: str | None = None) -> Any:
        return self._ask("PATCH", path, about, body)

    def put(self, path: str, body: Any, *, about: str | None = None) -> Any:
        return self._ask("PUT", path, about, body)

    def delete(self, path: str, *, about: str | None = None, **query: Any) -> Any:
        return self._ask("DELETE", _with_query(path, query), about)

    def lines(self, path: str, body: Any, *, about: str | None = None) -> Iterator[dict[str, Any]]:
        """The objects of a stream of JSON lines."""
        with self._open("POST", path, about, body, "application/x-ndjson") as answer:
            for line in answer:
                if line.strip():
                    yield json.loads(line)

    def chunks(self, path: str, *, about: str | None = None) -> Iterator[bytes]:
        """The parts of a file. Raises NoHost where it breaks off."""
        with self._open("GET", path, about, None, "*/*") as answer:
            while chunk := answer.read(_CHUNK_BYTES):
                yield chunk

    def events(self, path: str, *, about: str | None = None, **query: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and data of server-sent events. The host sends each event's data on one line."""
        with self._open("GET", _with_query(path, query), about, None, "text/event-stream") as answer:
            name = "message"
            for line in answer:
                field, _, value = line.decode().rstrip("\r\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    def _ask(self, method: str, path: str, about: str | None, body: Any = None) -> Any:
        with self._open(method, path, about, body, "application/json") as answer:
            if answer.status == HTTPStatus.NO_CONTENT:
                return {}
            content = answer.read()
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NoHost(f"What answers at {self._socket} is no Moorage host.")
        return found

    @contextmanager
    def _open(self, method: str, path: str, about: str | None, body: Any, accept: str) -> Iterator[HTTPResponse]:
        """The answer, not read yet. Raises NoHost and RemoteProblem."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept} | ({} if content is None else {"Content-Type": "application/json"})
        # A host closes connections that rest, while a person thinks about a question, say.
        self._connection.close()
        try:
            self._connection.request(method, PREFIX + path, content, headers)
            with self._patience(path):
                answer = self._connection.getresponse()
            with answer:
                if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    raise self._problem(answer.status, answer.read(), about)
                yield answer
        except (OSError, HTTPException) as error:
            raise NoHost(
                f"The host at {self._socket} went away before it had answered. What became of it: moorage ls, once a"
                " host is there again (moorage serve)."
            ) from error

    @contextmanager
    def _patience(self, path: str) -> Iterator[None]:
        """A host that hangs, or was stopped by a signal, accepts connections all the same: whoever waits is told."""
        if path.endswith(WAITING):
            yield
            return
        told = threading.Timer(
            PATIENCE_SECONDS,
            note,
            [
                f"The host at {self._socket} has not answered for {PATIENCE_SECONDS:g} s: it waits for work in flight,"
                " or it hangs. A worker can be ended without it: moorage kill NAME --direct"
            ],
        )
        told.daemon = True
        told.start()
        try:
            yield
        finally:
            told.cancel()

    def _problem(self, status: int, content: bytes, about: str | None) -> RemoteProblem:
        try:
            problem = dict(json.loads(content))
        except (TypeError, ValueError):
            problem = {}
        if "code" not in problem:
            problem = {"detail": f"What answers at {self._socket} is no Moorage host ({status})."}
        if status != HTTPStatus.NOT_FOUND or not about:
            return RemoteProblem(problem)
        is_trigger = problem.get("code") == "trigger_unknown"
        return RemoteProblem(problem, self._nearest(about, "/triggers" if is_trigger else "/installations"))

    def _nearest(self, name: str, path: str) -> str:
        known = [each["id"] for each in self.get(path)["items"]]
        if name in known:
            return ""
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if close:
            return f" Did you mean {close[0]}?"
        if path != "/installations":
            return ""
        return f" There are: {', '.join(sorted(known))}." if known else " There are none yet."


def connect(config: Path | None, socket_path: Path | None) -> ApiClient:
    return ApiClient(find_socket(config, socket_path))


def installation(name: str, *rest: str) -> str:
    """The path of an installation's route.

    Raises NotFound for what cannot be a name: it could lead to another route.
    """
    if "/" in name or not name:
        raise NotFound(f"There is no installation {name!r}: names hold letters, digits, '-', '_' and '.'.")
    return "/".join(["/installations", quote(name, safe=""), *rest])


def execution(identity: str, *rest: str) -> str:
    """The path of an execution's route. Raises NotFound as ``installation``."""
    if "/" in identity or not identity:
        raise NotFound(f"There is no execution {identity!r}. Those that there are: moorage executions")
    return "/".join(["/executions", quote(identity, safe=""), *rest])


def _with_query(path: str, query: Mapping[str, Any]) -> str:
    given = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path
