"""An AMQP 1.0 peer that Azure's own clients take for a Service Bus namespace: the embedded default.

From the bytes up: ``codec`` (values), ``frames``, ``performatives``, ``message`` (sections); ``queue`` and
``namespace`` (what a broker keeps, without I/O); ``sas`` (tokens), ``management`` (requests to an entity's
``$management``); ``links``, ``session``, ``connection`` (the protocol's state); ``server`` (TCP on loopback).

Not done: message sessions, subscription rules, transactions, partitions, duplicate detection.
"""

from moorage.broker.services.servicebus.peer.namespace import Declared, Limits, Namespace
from moorage.broker.services.servicebus.peer.sas import Authority, Right, SharedKeys
from moorage.broker.services.servicebus.peer.server import Peer

__all__ = ["Authority", "Declared", "Limits", "Namespace", "Peer", "Right", "SharedKeys"]
