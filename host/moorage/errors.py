"""The root of the host's errors. Small classes named by the state of affairs stand beside what raises them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line ends with; the names are those of BSD's sysexits where one fits."""

    OK = 0
    FAILED = 1
    USAGE = 2
    #: A manifest, package or setting is wrong.
    INVALID = 65
    NOT_FOUND = 66
    #: No host answers.
    UNAVAILABLE = 69
    INTERNAL = 70
    #: The sandbox level is lower than required.
    SANDBOX = 71
    #: A capability or a role is missing.
    DENIED = 77
    #: The host's own configuration is wrong.
    CONFIG = 78


class MoorageError(Exception):
    """A state of affairs that a person can act on. ``str()`` is one or more whole sentences."""

    #: A stable word for machines: API clients and tests compare it.
    code = "error"
    exit_code = ExitCode.FAILED
    http_status = 500


class NotFound(MoorageError):
    code = "not_found"
    exit_code = ExitCode.NOT_FOUND
    http_status = 404


class Invalid(MoorageError):
    code = "invalid"
    exit_code = ExitCode.INVALID
    http_status = 422


class Conflict(MoorageError):
    """What was asked does not fit the present state."""

    code = "conflict"
    http_status = 409
