"""The client library, which is an extra of the host, and takes 0.1 s and 13 MiB: imported when it is first needed."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

from moorage.errors import ExitCode, MoorageError


class ServiceBusClientMissing(MoorageError):
    code = "servicebus_client_missing"
    exit_code = ExitCode.CONFIG

    def __init__(self) -> None:
        super().__init__(
            "Service Bus needs the package azure-servicebus. Install it with: pip install 'moorage[servicebus]'"
        )


def check() -> None:
    """Raises ServiceBusClientMissing."""
    try:
        found = importlib.util.find_spec("azure.servicebus")
    except ImportError:
        found = None
    if found is None:
        raise ServiceBusClientMissing


@functools.cache
def client() -> Any:
    """The module ``azure.servicebus``, with ``aio``, ``amqp`` and ``exceptions``. Blocks the first time."""
    importlib.import_module("azure.servicebus.aio")
    return importlib.import_module("azure.servicebus")
