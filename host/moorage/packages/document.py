"""A ``pyproject.toml`` that was read but not yet believed, and what is wrong with it, with file, line and key."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

import tomllib

from moorage.errors import Invalid
from moorage.packages.toml_lines import KeyPath, line_of, locate

FILE_NAME = "pyproject.toml"

#: No project description is longer; a longer file is a mistake or a trap.
MAX_FILE_BYTES = 1024 * 1024

#: Told of at one time.
MAX_PROBLEMS = 100

#: Of one key: the time to read it grows with the square.
MAX_KEY_PARTS = 100
_KEY_PART = re.compile(r"""[ \t]*["']?[A-Za-z0-9_-]+["']?[ \t]*""")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_POSITION = re.compile(r" \(at line (?P<line>\d+), column \d+\)$")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a manifest."""

    line: int
    #: Dotted, as people write it: ``tool.moorage.required[1].allow``; empty: the file as a whole.
    key: str
    sentence: str


class ManifestInvalid(Invalid):
    """A ``pyproject.toml`` cannot be used; one sentence for each problem, with file, line and key."""

    code = "manifest_invalid"

    def __init__(self, file: Path, problems: tuple[Problem, ...]) -> None:
        told = [_sentence(file, problem) for problem in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            told.append(f"{file}: {len(problems) - MAX_PROBLEMS:,} more problems are not shown.")
        super().__init__("\n".join(told))
        self.file = file
        self.problems = problems


@dataclass(frozen=True)
class Document:
    file: Path
    data: Mapping[str, Any]
    lines: Mapping[KeyPath, int] = field(repr=False)

    @property
    def is_plugin(self) -> bool:
        return "moorage" in _table(self.data.get("tool"))

    @property
    def project_name(self) -> str:
        """As written, unchecked; empty where there is none."""
        name = _table(self.data.get("project")).get("name")
        return name if isinstance(name, str) else ""

    def line(self, path: KeyPath) -> int:
        return line_of(self.lines, path)


def read_document(folder: Path) -> Document:
    """Reads the project description of a folder. Raises ManifestInvalid where there is none or it is no TOML."""
    file = folder / FILE_NAME
    text = _read_text(file)
    _check_keys(file, text)
    try:
        return Document(file, tomllib.loads(text), locate(text))
    except RecursionError as error:
        raise _unreadable(file, "its tables or arrays are nested too deeply; no manifest needs that") from error
    except ValueError as error:  # besides TOMLDecodeError: an integer with thousands of digits
        message = str(error)
        position = _POSITION.search(message)
        # Without a position it is the file's end that is wrong.
        line = int(position["line"]) if position else max(1, len(text.splitlines()))
        reason = _POSITION.sub("", message).rstrip(".")
        problem = Problem(line, "", f"this is not TOML: {reason}; correct the file.")
        raise ManifestInvalid(file, (problem,)) from error


def _check_keys(file: Path, text: str) -> None:
    """Raises ManifestInvalid for a key of very many parts."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") < MAX_KEY_PARTS:
            continue
        parts = 0
        for part in line.split("."):
            parts = parts + 1 if _KEY_PART.fullmatch(part) else 0
            if parts > MAX_KEY_PARTS:
                problem = Problem(number, "", f"a key has more than {MAX_KEY_PARTS} parts; no manifest needs that.")
                raise ManifestInvalid(file, (problem,))


def dotted(path: KeyPath) -> str:
    """A path as people write it."""
    parts = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            # What is no bare key is quoted, with escapes: it comes from a plugin and goes to terminals.
            key = part if _BARE_KEY.fullmatch(part) else json.dumps(part)
            parts.append(f".{key}" if parts else key)
    return "".join(parts)


def _read_text(file: Path) -> str:
    """The file's text, read so that no device, FIFO or endless file can hold up the host."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(file, f"it cannot be read: {error.strerror}; a plugin's folder holds one") from error
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unreadable(file, "it is not a regular file; write the manifest there")
        content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise _unreadable(file, f"it is longer than {MAX_FILE_BYTES} bytes; move what is not metadata elsewhere")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(file, "it is not UTF-8 text; save it with that encoding") from error


def _unreadable(file: Path, reason: str) -> ManifestInvalid:
    return ManifestInvalid(file, (Problem(1, "", f"{reason}."),))


def _sentence(file: Path, problem: Problem) -> str:
    key = f" {problem.key}:" if problem.key else ""
    return f"{file}:{problem.line}:{key} {problem.sentence}"


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
