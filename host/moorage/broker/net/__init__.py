"""Connections of plugins to hosts that they were granted by name: CONNECT, on a socket in the plugin's own network."""

from __future__ import annotations

from moorage.broker.net.dialler import Dialler
from moorage.broker.net.proxy import NetProxy

__all__ = ["Dialler", "NetProxy"]
