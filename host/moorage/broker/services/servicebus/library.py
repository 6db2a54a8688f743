"""The client library, which is an extra of the host."""

from __future__ import annotations

from typing import Any

from moorage.errors import ExitCode, MoorageError

azure_servicebus: Any
try:
    import azure.servicebus.aio

    azure_servicebus = azure.servicebus
except ImportError:
    azure_servicebus = None


class ServiceBusClientMissing(MoorageError):
    code = "servicebus_client_missing"
    exit_code = ExitCode.CONFIG

    def __init__(self) -> None:
        super().__init__(
            "Service Bus needs the package azure-servicebus. Install it with: pip install 'moorage[servicebus]'"
        )


def client() -> Any:
    """The module ``azure.servicebus``, with ``aio`` and ``exceptions``.

    Raises ServiceBusClientMissing.
    """
    if azure_servicebus is None:
        raise ServiceBusClientMissing
    return azure_servicebus
