"""Steps of setting up, each with a name that an operator will read when it fails."""

from __future__ import annotations

import errno
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Iterator


@dataclass(frozen=True)
class Failure:
    """Why a sandbox could not be made."""

    #: One of the names given to ``step``: "mount namespace", "Landlock".
    step: str
    errno: int
    #: "unshare: Operation not permitted".
    message: str

    def as_json(self) -> bytes:
        return json.dumps({"failed": asdict(self)}).encode()

    @property
    def reason(self) -> str:
        name = errno.errorcode.get(self.errno, "")
        return f"{self.message} ({name})" if name else self.message


class SetupFailed(Exception):
    """A step failed; nothing of the plugin has run, and nothing will."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.step}: {failure.message}")
        self.failure = failure


@contextmanager
def step(name: str) -> Iterator[None]:
    """Turns whatever goes wrong inside into SetupFailed with this name; an inner step's name wins."""
    try:
        yield
    except SetupFailed:
        raise
    except OSError as error:
        text = error.strerror or str(error)
        place = f"{text}: {error.filename}" if error.filename else text
        raise SetupFailed(Failure(name, error.errno or 0, place)) from error
    except Exception as error:
        raise SetupFailed(Failure(name, 0, f"{type(error).__name__}: {error}")) from error
