"""Azure Service Bus: sending to, and receiving from, the queues and topics of named namespaces."""
