"""What an action knows of the machine, and how it makes raw system calls."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Callable, Dict, TypeVar, Union

from moorage_sandbox.numbers import NUMBERS

_Action = TypeVar("_Action", bound=Callable[..., Any])

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

Argument = Union[int, bytes, None, "ctypes.Array[Any]"]


def action(function: _Action) -> _Action:
    """Marks a function as an action, called by its name."""
    function.is_action = True  # type: ignore[attr-defined]
    return function


class World:
    """``facts``: what was planted, and where folders are for whoever tries."""

    def __init__(self, facts: Dict[str, Any]) -> None:
        self.facts = facts

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    def outside(self, path: str) -> str:
        """A path of the machine, as far as it can be named: "/.host" leads there without the mount layer."""
        return str(self.facts["root"]) + path

    def planted(self, name: str) -> str:
        """The path of something that was planted in the open folder outside."""
        return self.outside(f"{self.facts['folder']}/{name}")

    def data(self, name: str) -> str:
        return f"{self.facts['data']}/{name}"

    def call(self, name: str, *arguments: Argument) -> int:
        """A raw system call by name; its result, or OSError."""
        return self.call_number(NUMBERS[os.uname().machine][name], *arguments)

    def call_number(self, number: int, *arguments: Argument) -> int:
        words = [
            word if word is None or isinstance(word, (bytes, ctypes.Array)) else ctypes.c_long(word)
            for word in arguments
        ]
        result: int = _libc.syscall(ctypes.c_long(number), *words)
        if result < 0:
            raise OSError(ctypes.get_errno(), "refused")
        return result
