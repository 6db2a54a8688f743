"""Azure Service Bus: sending to, and receiving from, the queues and topics of named namespaces."""

from moorage.broker.services.servicebus.service import ServiceBusService

__all__ = ["ServiceBusService"]
