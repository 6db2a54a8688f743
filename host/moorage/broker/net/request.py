"""What a client of the proxy asks for: the head of a CONNECT request (RFC 9110, 9.3.6). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from moorage_proto import hostname
from moorage_proto.capability import NET_CONNECT, Capability, need
from moorage_proto.hostname import HostInvalid

#: Of the request line and all header fields.
MAX_HEAD_BYTES = 16 * 1024

_LINE = re.compile(rb"(?P<method>[!-~]{1,32}) (?P<target>[!-~]{1,512}) HTTP/1\.[01]\r?\n")
_TARGET = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]]+):(?P<port>[1-9][0-9]{0,4})")
MAX_PORT = 65_535


class RequestRefused(Exception):
    """It is answered with this status and sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True)
class Target:
    #: Canonical (``moorage_proto.hostname``).
    host: str
    port: int

    @property
    def need(self) -> Capability:
        return need(NET_CONNECT, str(self))

    def __str__(self) -> str:
        return f"{hostname.in_url(self.host)}:{self.port}"


def target_of(head: bytes) -> Target:
    """Raises RequestRefused."""
    line = _LINE.match(head)
    if line is None:
        raise RequestRefused(400, "This is no HTTP request; the proxy of a plugin speaks HTTP/1.1.")
    if line["method"] != b"CONNECT":
        raise RequestRefused(
            405,
            "The proxy of a plugin opens connections (CONNECT), for https and its kind. Plain http requests go through"
            " the service http: ask for an httpx.Client.",
        )
    found = _TARGET.fullmatch(line["target"].decode("ascii"))
    if found is None or int(found["port"]) > MAX_PORT:
        raise RequestRefused(400, "CONNECT names a host and a port, such as api.example.com:443.")
    try:
        return Target(hostname.canonical(found["host"]), int(found["port"]))
    except HostInvalid as error:
        raise RequestRefused(400, f"{error}.") from None
